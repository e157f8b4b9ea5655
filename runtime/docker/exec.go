package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
)

// ExecMarker is the environment variable by which a killable command and everything it started is found again.
const ExecMarker = "SKIFF_EXEC_ID"

// neverDetach replaces the engine's default detach keys (ctrl-p ctrl-q), which would swallow a shell's ctrl-p until the
// next key. They can't be switched off; nobody types this.
const neverDetach = "ctrl-@,ctrl-@,ctrl-@,ctrl-@,ctrl-@,ctrl-@"

// Exec runs a command in a running container to its end and returns its exit code. It takes three requests: create,
// start, inspect. A command that can't be started has exit code 126 or 127 and says why on its output, as a shell would.
//
// When ctx ends first, the command is killed if spec.KillImage is set (Exec then returns only once it is dead or could
// not be killed), and left running otherwise; the error is the context's in both cases. A nil Stdin is an empty one.
func (e *Engine) Exec(ctx context.Context, containerID string, spec ExecSpec, streams Streams) (int, error) {
	spec.TTY = streams.TTY
	s, err := e.startExec(ctx, containerID, spec, streams)
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	copyErr := s.pump(ctx, streams)
	if ctx.Err() != nil {
		return 0, s.abandon(ctx)
	}
	if copyErr != nil {
		return 0, s.engine.convert(copyErr, "read the output of exec in", containerID)
	}
	code, err := s.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		return 0, s.abandon(ctx)
	}
	return code, err
}

// StartExec runs a command and returns the connection to it. stderr receives standard error while the session is read;
// nil drops it.
func (e *Engine) StartExec(ctx context.Context, containerID string, spec ExecSpec, stderr io.Writer) (Session, error) {
	return e.startExec(ctx, containerID, spec, Streams{Stdin: emptyReader{}, Stdout: io.Discard, Stderr: stderr, TTY: spec.TTY})
}

// startExec attaches what streams has; Stdin and Stdout of the streams only say whether they are wanted.
func (e *Engine) startExec(ctx context.Context, containerID string, spec ExecSpec, streams Streams) (*session, error) {
	const op = "exec in container"
	env, marker := spec.Env, ""
	if spec.KillImage != "" {
		marker = newMarker()
		env = append(append([]string(nil), env...), ExecMarker+"="+marker)
	}
	options := container.ExecOptions{
		User: spec.User, Privileged: spec.Privileged, Tty: spec.TTY,
		AttachStdin: streams.Stdin != nil, AttachStdout: true, AttachStderr: !spec.TTY,
		DetachKeys: neverDetach, Env: env, WorkingDir: spec.WorkingDir, Cmd: spec.Cmd,
	}
	var size *[2]uint
	if spec.TTY && spec.Size != (TerminalSize{}) && atLeast(e.APIVersion(), "1.42") {
		size = &[2]uint{uint(spec.Size.Height), uint(spec.Size.Width)}
		options.ConsoleSize = size
	}
	created, err := e.cli.ContainerExecCreate(ctx, containerID, options)
	if err != nil {
		return nil, e.convert(err, op, containerID)
	}
	conn, err := e.hijack(ctx, "/exec/"+created.ID+"/start", nil, container.ExecStartOptions{Tty: spec.TTY, ConsoleSize: size})
	if err != nil {
		return nil, e.convert(err, op, containerID)
	}
	s := &session{engine: e, id: created.ID, containerID: containerID, marker: marker, killImage: spec.KillImage, conn: conn, out: conn}
	if !spec.TTY {
		s.out = &frameReader{r: conn.r, stderr: streams.Stderr}
	}
	if spec.TTY && spec.Size != (TerminalSize{}) && size == nil {
		// Best effort, as a terminal without a size still works: the first one can arrive before the process does.
		_ = s.Resize(ctx, spec.Size)
	}
	return s, nil
}

// InspectExec returns what the engine knows about an exec.
func (e *Engine) InspectExec(ctx context.Context, execID string) (ExecState, error) {
	r, err := e.cli.ContainerExecInspect(ctx, execID)
	if err != nil {
		return ExecState{}, e.convert(err, "inspect exec", execID)
	}
	return ExecState{ID: r.ExecID, ContainerID: r.ContainerID, Running: r.Running, ExitCode: r.ExitCode, Pid: r.Pid}, nil
}

func newMarker() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, as crypto/rand documents
	return hex.EncodeToString(b[:])
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, io.EOF }

// session is a running exec.
type session struct {
	engine      *Engine
	id          string
	containerID string
	marker      string
	killImage   string
	conn        *hijacked
	out         io.Reader
}

func (s *session) ID() string                  { return s.id }
func (s *session) Read(p []byte) (int, error)  { return s.out.Read(p) }
func (s *session) Write(p []byte) (int, error) { return s.conn.Write(p) }
func (s *session) CloseWrite() error           { return s.conn.CloseWrite() }
func (s *session) Close() error                { return s.conn.Close() }

func (s *session) Resize(ctx context.Context, size TerminalSize) error {
	err := s.engine.cli.ContainerExecResize(ctx, s.id, container.ResizeOptions{Height: uint(size.Height), Width: uint(size.Width)})
	return s.engine.convert(err, "resize the terminal of exec", s.id)
}

// Wait asks until the engine has the exit code. After the end of the output that is nearly always the first answer; a
// command that closed its output and runs on is asked about ever more rarely, and never reported as a success.
func (s *session) Wait(ctx context.Context) (int, error) {
	const first, last = 5 * time.Millisecond, time.Second // chosen
	for pause := first; ; pause = min(2*pause, last) {
		state, err := s.engine.InspectExec(ctx, s.id)
		if err != nil {
			return 0, err
		}
		if !state.Running {
			return state.ExitCode, nil
		}
		select {
		case <-ctx.Done():
			return 0, s.engine.convert(ctx.Err(), "wait for exec", s.id)
		case <-time.After(pause):
		}
	}
}

// pump moves bytes in all directions until the output ends or ctx does.
func (s *session) pump(ctx context.Context, streams Streams) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	return pump(ctx, s.conn, s.out, streams, s.Resize)
}

// abandon ends a command whose context ended.
func (s *session) abandon(ctx context.Context) error {
	cause := s.engine.convert(ctx.Err(), "exec in container", s.containerID)
	if s.killImage == "" {
		return cause
	}
	// The context is over, the killing is not: it gets a time of its own (chosen: several times what it takes).
	killCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := s.Kill(killCtx); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}
