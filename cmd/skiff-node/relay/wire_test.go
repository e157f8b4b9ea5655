//go:build linux

package relay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"skiff.local/skiff/local/network/relayproto"
)

// A connector is one that runs in this process, with pipes as an engine gives it.
type connector struct {
	session *yamux.Session // the daemon's end
	in, out *os.File       // what the engine holds of its standard input and output
	exited  chan int
}

func connect(t *testing.T, socket string) *connector {
	t.Helper()
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &connector{in: in, out: out, exited: make(chan int, 1)}
	go func() {
		code := Connect([]string{"-socket", socket}, stdin, stdout, os.Stderr)
		// What the end of a process does.
		stdin.Close()
		stdout.Close()
		c.exited <- code
	}()
	t.Cleanup(func() { in.Close(); out.Close() })
	c.session, err = yamux.Client(pipes{out, in}, relayproto.SessionConfig())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type pipes struct {
	io.Reader
	io.WriteCloser
}

func serve(t *testing.T) (r *relay, socket string) {
	t.Helper()
	socket = fmt.Sprintf("@skiff-relay-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r = &relay{log: slog.New(slog.DiscardHandler), instance: "this one"}
	go r.serveSessions(context.Background(), l)
	return r, socket
}

// hello asks over the session who is there.
func (c *connector) hello(t *testing.T) string {
	t.Helper()
	stream, err := c.session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.SetDeadline(time.Now().Add(20 * time.Second))
	if err := relayproto.WriteFrame(stream, relayproto.Open{Kind: relayproto.Control}); err != nil {
		t.Fatal(err)
	}
	var hello relayproto.Hello
	if err := relayproto.ReadFrame(stream, &hello); err != nil {
		t.Fatal(err)
	}
	return hello.Instance
}

func (c *connector) awaitExit(t *testing.T) {
	t.Helper()
	select {
	case code := <-c.exited:
		if code != 0 {
			t.Errorf("the connector's exit code is %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the connector runs on")
	}
}

func TestTheConnectorEndsWithTheDaemonsEndOfTheSession(t *testing.T) {
	_, socket := serve(t)
	c := connect(t, socket)
	if got := c.hello(t); got != "this one" {
		t.Errorf("hello from %q", got)
	}
	c.in.Close()
	c.awaitExit(t)
	if _, err := io.Copy(io.Discard, c.out); err != nil {
		t.Errorf("the relay left the connector's output open: %v", err)
	}
}

func TestTheConnectorEndsWithTheRelaysEndOfTheSession(t *testing.T) {
	r, socket := serve(t)
	c := connect(t, socket)
	c.hello(t)
	session, err := r.daemon()
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	c.awaitExit(t)
	<-c.session.CloseChan()
}

func TestASessionEndsWithItsConnector(t *testing.T) {
	r, socket := serve(t)
	// A connector that is killed after it has handed over: its pipes stay open at the relay's end only.
	conn, err := dialSocket(socket)
	if err != nil {
		t.Fatal(err)
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := handOver(conn, stdin, stdout); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	stdout.Close()
	session, err := r.daemon()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	select {
	case <-session.CloseChan():
	case <-time.After(20 * time.Second):
		t.Fatal("the session lives on without its connector")
	}
	out.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Errorf("the relay left the connector's output open: %v", err)
	}
}
