package stream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"skiff.local/skiff/runtime/docker"
)

// Kubelet's bounds of a stream: how long it may be idle, and how long a client may take to open its streams.
const (
	idleTimeout     = 4 * time.Hour
	creationTimeout = remotecommand.DefaultStreamCreationTimeout
)

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	pod, c, ok := s.find(w, r)
	if !ok {
		return
	}
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, executor{s, c}, pod.Name, string(pod.UID), r.PathValue("container"), r.URL.Query()["command"],
		opts, idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	pod, c, ok := s.find(w, r)
	if !ok {
		return
	}
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, executor{s, c}, pod.Name, string(pod.UID), r.PathValue("container"),
		opts, idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

// runCommand runs a command and answers with its output (kubelet's /run).
func (s *Server) runCommand(w http.ResponseWriter, r *http.Request) {
	_, c, ok := s.find(w, r)
	if !ok {
		return
	}
	both := struct{ io.Writer }{w} // without its own way of reading: two streams end in it
	code, err := s.cfg.Engine.Exec(r.Context(), c.ID, docker.ExecSpec{Cmd: r.URL.Query()["cmd"]}, docker.Streams{Stdout: both, Stderr: both})
	if err == nil && code != 0 {
		err = fmt.Errorf("command terminated with exit code %d", code)
	}
	if err != nil {
		_, _ = fmt.Fprintln(w, err)
	}
}

// An executor runs commands in one container.
type executor struct {
	s *Server
	c Container
}

// ExecInContainer runs a command; its exit code is an error of the kind that becomes the client's exit code.
func (e executor) ExecInContainer(ctx context.Context, _, _, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser, tty bool,
	resize <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	code, err := e.s.cfg.Engine.Exec(ctx, e.c.ID, docker.ExecSpec{Cmd: cmd, TTY: tty}, streams(ctx, in, out, errOut, tty, resize))
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// AttachContainer connects to the container's first process.
func (e executor) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errOut io.WriteCloser, _ bool,
	resize <-chan remotecommand.TerminalSize,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !e.c.Stdin {
		in = nil
	}
	s := streams(ctx, in, out, errOut, e.c.TTY, resize)
	seen := &watched{w: s.Stdout}
	if s.Stdout != nil {
		s.Stdout = seen
	}
	err := e.s.cfg.Engine.Attach(ctx, e.c.ID, s)
	if err == nil && !seen.any.Load() {
		// It ended before the attachment began: an error makes clients show its log instead.
		err = fmt.Errorf("container %.12s has ended", e.c.ID)
	}
	return err
}

// watched notices whether anything was written.
type watched struct {
	w   io.Writer
	any atomic.Bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.any.Store(true)
	return w.w.Write(p)
}

func streams(ctx context.Context, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) docker.Streams {
	s := docker.Streams{TTY: tty, Stdin: in}
	// A nil pointer in an interface is not a nil interface.
	if out != nil {
		s.Stdout = out
	}
	if errOut != nil && !tty {
		s.Stderr = errOut
	}
	if tty && resize != nil {
		s.Resize = sizes(ctx, resize)
	}
	return s
}

func sizes(ctx context.Context, in <-chan remotecommand.TerminalSize) <-chan docker.TerminalSize {
	out := make(chan docker.TerminalSize, 1)
	go func() {
		defer close(out)
		for {
			select {
			case size, ok := <-in:
				if !ok {
					return
				}
				select {
				case out <- docker.TerminalSize{Width: size.Width, Height: size.Height}:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
