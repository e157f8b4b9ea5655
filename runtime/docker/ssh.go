package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// sshDialer reaches an engine through the user's own ssh, so that keys, agents, jump hosts and ~/.ssh/config apply. Each
// connection is one ssh process that runs docker's `system dial-stdio` on the other side, as the docker command does.
func sshDialer(host string) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	args, err := sshArgs(host)
	if err != nil {
		return nil, err
	}
	return func(context.Context, string, string) (net.Conn, error) {
		return dialCommand("ssh", args)
	}, nil
}

// sshArgs turns ssh://user@host:port/path into ssh's arguments. A path is the socket on the other side.
func sshArgs(host string) ([]string, error) {
	u, err := url.Parse(host)
	if err != nil {
		return nil, fmt.Errorf("parse ssh address %q: %w", host, err)
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
		return nil, fmt.Errorf("ssh address %q names no host", host)
	}
	if _, has := u.User.Password(); has {
		return nil, errors.New("an ssh address can't carry a password: use a key or an agent")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("ssh address %q has a query or fragment", host)
	}
	args := []string{"-o", "ConnectTimeout=30", "-T"}
	if u.User.Username() != "" {
		args = append(args, "-l", u.User.Username())
	}
	if u.Port() != "" {
		args = append(args, "-p", u.Port())
	}
	args = append(args, "--", u.Hostname(), "docker")
	if path := u.Path; path != "" && path != "/" {
		if strings.ContainsAny(path, " '\"`$;&|<>\\\n") {
			return nil, fmt.Errorf("ssh address %q: the socket's path has characters a shell would interpret", host)
		}
		args = append(args, "--host", "unix://"+path)
	}
	return append(args, "system", "dial-stdio"), nil
}

// commandConn is a connection whose other end is a process's standard input and output.
type commandConn struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr tailBuffer

	closeOnce sync.Once
	waited    chan struct{}
	waitErr   error
}

func dialCommand(name string, args []string) (net.Conn, error) {
	c := &commandConn{cmd: exec.Command(name, args...), waited: make(chan struct{})}
	c.cmd.Stderr = &c.stderr
	detach(c.cmd)
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", name, err)
	}
	// Our own pipe, not StdoutPipe: Wait closes that one and would cut off output that has not been read.
	if c.stdout, err = ownStdoutPipe(c.cmd); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", name, err)
	}
	if err := c.cmd.Start(); err != nil {
		_ = c.stdout.Close()
		closeChildEnd(c.cmd)
		return nil, &net.OpError{Op: "dial", Net: name, Err: err}
	}
	closeChildEnd(c.cmd)
	go func() {
		c.waitErr = c.cmd.Wait()
		close(c.waited)
	}()
	return c, nil
}

func (c *commandConn) Read(p []byte) (int, error) {
	n, err := c.stdout.Read(p)
	if err != nil && n == 0 {
		return 0, c.explain(err)
	}
	return n, nil
}

// explain adds what ssh said: "EOF" alone would hide a refused key or an unknown host.
func (c *commandConn) explain(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	select {
	case <-c.waited:
	case <-time.After(time.Second): // chosen: the pipe is closed, so the process is about to end
		return err
	}
	if c.waitErr == nil {
		return err
	}
	return &net.OpError{Op: "dial", Net: "ssh", Err: fmt.Errorf("%w: %s", c.waitErr, c.stderr.String())}
}

func (c *commandConn) Write(p []byte) (int, error) { return c.stdin.Write(p) }

func (c *commandConn) CloseWrite() error { return c.stdin.Close() }

func (c *commandConn) Close() error {
	c.closeOnce.Do(func() {
		_ = c.stdin.Close()
		_ = c.stdout.Close()
		select {
		case <-c.waited:
		default:
			_ = c.cmd.Process.Kill()
		}
	})
	return nil
}

func (c *commandConn) LocalAddr() net.Addr              { return commandAddr{} }
func (c *commandConn) RemoteAddr() net.Addr             { return commandAddr{} }
func (c *commandConn) SetDeadline(time.Time) error      { return nil }
func (c *commandConn) SetReadDeadline(time.Time) error  { return nil }
func (c *commandConn) SetWriteDeadline(time.Time) error { return nil }

type commandAddr struct{}

func (commandAddr) Network() string { return "command" }
func (commandAddr) String() string  { return "ssh" }

// tailBuffer keeps the last kilobyte written to it.
type tailBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	if over := len(b.buf) - 1024; over > 0 {
		b.buf = b.buf[over:]
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(bytes.TrimSpace(b.buf))
}
