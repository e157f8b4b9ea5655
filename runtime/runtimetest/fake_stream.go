package runtimetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"skiff.local/skiff/runtime/docker"
)

// fakeExec is a command that runs, or ran, in a container.
type fakeExec struct {
	id        string
	container *fakeContainer
	spec      docker.ExecSpec
	proc      *fakeProcess
}

// startExec launches the command with the given streams.
func (f *Fake) startExec(containerID string, spec docker.ExecSpec, streams docker.Streams, ended func()) (*fakeExec, error) {
	const op = "exec in container"
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(op, containerID)
	if err != nil {
		return nil, err
	}
	if !c.state.Running {
		return nil, fail(docker.ErrConflict, op, containerID, "Container %s is not running", c.id)
	}
	if len(spec.Cmd) == 0 {
		return nil, fail(docker.ErrInvalid, op, containerID, "No exec command specified")
	}
	p := f.process(c, spec.Cmd, spec.Env)
	p.Stdin, p.Stdout, p.Stderr = streams.Stdin, streams.Stdout, streams.Stderr
	if p.Stdin == nil {
		p.Stdin = bytes.NewReader(nil)
	}
	if p.Stdout == nil {
		p.Stdout = io.Discard
	}
	if streams.TTY {
		p.Stderr = p.Stdout
	}
	if p.Stderr == nil {
		p.Stderr = io.Discard
	}
	program := f.programs[spec.Cmd[0]]
	if program == nil {
		text := fmt.Sprintf("OCI runtime exec failed: exec failed: unable to start container process: exec: %q: executable file not found in $PATH: unknown\r\n", spec.Cmd[0])
		program = notFound(text)
	}
	e := &fakeExec{id: newID(), container: c, spec: spec}
	f.emitContainer(c, "exec_create: "+spec.Cmd[0], map[string]string{"execID": e.id})
	e.proc = launch(program, p, func(_ *fakeProcess, code int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.emitContainer(c, "exec_die", map[string]string{"execID": e.id, "exitCode": fmt.Sprint(code)})
		ended()
	})
	f.execs[e.id] = e
	return e, nil
}

// Exec implements Engine.
func (f *Fake) Exec(ctx context.Context, containerID string, spec docker.ExecSpec, streams docker.Streams) (int, error) {
	if err := f.begin(ctx, "Exec", containerID); err != nil {
		return 0, err
	}
	e, err := f.startExec(containerID, spec, streams, func() {})
	if err != nil {
		return 0, err
	}
	select {
	case <-e.proc.done:
		return e.proc.code, nil
	case <-ctx.Done():
		if spec.KillImage != "" {
			e.proc.signal("KILL")
			<-e.proc.done
		}
		return 0, &docker.Error{Op: "exec in container", Object: containerID, Err: ctx.Err()}
	}
}

// StartExec implements Engine.
func (f *Fake) StartExec(ctx context.Context, containerID string, spec docker.ExecSpec, stderr io.Writer) (docker.Session, error) {
	if err := f.begin(ctx, "StartExec", containerID); err != nil {
		return nil, err
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	streams := docker.Streams{Stdin: inR, Stdout: outW, Stderr: stderr, TTY: spec.TTY}
	e, err := f.startExec(containerID, spec, streams, func() { _, _ = outW.Close(), inR.Close() })
	if err != nil {
		return nil, err
	}
	return &fakeSession{fake: f, exec: e, in: inW, out: outR}, nil
}

type fakeSession struct {
	fake *Fake
	exec *fakeExec
	in   *io.PipeWriter
	out  *io.PipeReader
}

func (s *fakeSession) ID() string                  { return s.exec.id }
func (s *fakeSession) Read(p []byte) (int, error)  { return s.out.Read(p) }
func (s *fakeSession) Write(p []byte) (int, error) { return s.in.Write(p) }
func (s *fakeSession) CloseWrite() error           { return s.in.Close() }

func (s *fakeSession) Close() error {
	_, _ = s.in.Close(), s.out.Close()
	return nil
}

func (s *fakeSession) Resize(ctx context.Context, _ docker.TerminalSize) error {
	return s.fake.begin(ctx, "ResizeExec", s.exec.id)
}

func (s *fakeSession) Wait(ctx context.Context) (int, error) {
	select {
	case <-s.exec.proc.done:
		return s.exec.proc.code, nil
	case <-ctx.Done():
		return 0, &docker.Error{Op: "wait for exec", Object: s.exec.id, Err: ctx.Err()}
	}
}

func (s *fakeSession) Kill(ctx context.Context) error {
	if s.exec.spec.KillImage == "" {
		return fail(docker.ErrUnsupported, "kill exec", s.exec.id, "it was not started as killable")
	}
	if err := s.fake.begin(ctx, "KillExec", s.exec.id); err != nil {
		return err
	}
	s.exec.proc.signal("KILL")
	<-s.exec.proc.done
	return nil
}

// InspectExec implements Engine.
func (f *Fake) InspectExec(ctx context.Context, execID string) (docker.ExecState, error) {
	if err := f.begin(ctx, "InspectExec", execID); err != nil {
		return docker.ExecState{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.execs[execID]
	if !ok {
		return docker.ExecState{}, fail(docker.ErrNotFound, "inspect exec", execID, "No such exec instance: %s", execID)
	}
	state := docker.ExecState{ID: execID, ContainerID: e.container.id, Running: true}
	select {
	case <-e.proc.done:
		state.Running, state.ExitCode = false, e.proc.code
	default:
	}
	return state, nil
}

// Attach implements Engine.
func (f *Fake) Attach(ctx context.Context, containerID string, streams docker.Streams) error {
	const op = "attach to container"
	if err := f.begin(ctx, "Attach", containerID); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, containerID)
	if err != nil {
		f.mu.Unlock()
		return err
	}
	proc, stdin := c.proc, c.stdin
	running := c.state.Running
	a := &attachment{streams}
	c.out.mu.Lock()
	c.out.attached[a] = true
	c.out.mu.Unlock()
	f.mu.Unlock()
	defer func() {
		c.out.mu.Lock()
		defer c.out.mu.Unlock()
		delete(c.out.attached, a)
	}()
	if !running {
		return nil
	}
	if streams.Stdin != nil && stdin != nil {
		go func() {
			_, _ = io.Copy(stdin, streams.Stdin)
			if c.spec.StdinOnce {
				_ = stdin.Close()
			}
		}()
	}
	select {
	case <-proc.done:
		return nil
	case <-ctx.Done():
		return &docker.Error{Op: op, Object: containerID, Err: ctx.Err()}
	}
}

// ResizeTTY implements Engine.
func (f *Fake) ResizeTTY(ctx context.Context, containerID string, _ docker.TerminalSize) error {
	if err := f.begin(ctx, "ResizeTTY", containerID); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.find("resize the terminal of container", containerID)
	return err
}

// logTime is how engines write the times of log lines.
const logTime = "2006-01-02T15:04:05.000000000Z07:00"

// Logs implements Engine.
func (f *Fake) Logs(ctx context.Context, containerID string, opts docker.LogOptions, stdout, stderr io.Writer) error {
	const op = "read the log of container"
	if err := f.begin(ctx, "Logs", containerID); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, containerID)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if opts.TTY {
		stderr = stdout
	}
	selected := func(l logLine) bool {
		return !(l.stderr && stderr == nil || !l.stderr && stdout == nil) &&
			!l.at.Before(opts.Since) && (opts.Until.IsZero() || !l.at.After(opts.Until))
	}
	c.out.mu.Lock()
	next := 0
	if opts.Tail != nil {
		next = len(c.out.lines)
		for left := *opts.Tail; next > 0 && left > 0; next-- {
			if selected(c.out.lines[next-1]) {
				left--
			}
		}
	}
	c.out.mu.Unlock()
	for {
		c.out.mu.Lock()
		lines, changed, closed := slices.Clone(c.out.lines[next:]), c.out.changed, c.out.closed
		next += len(lines)
		c.out.mu.Unlock()
		for _, l := range lines {
			if !selected(l) {
				continue
			}
			if err := writeLine(l, opts.Timestamps, stdout, stderr); err != nil {
				return &docker.Error{Op: op, Object: containerID, Kind: docker.ErrInternal, Err: err}
			}
		}
		if !opts.Follow || closed {
			return nil
		}
		select {
		case <-changed:
		case <-c.gone:
			return nil
		case <-ctx.Done():
			return &docker.Error{Op: op, Object: containerID, Err: ctx.Err()}
		}
	}
}

func writeLine(l logLine, timestamps bool, stdout, stderr io.Writer) error {
	dst := stdout
	if l.stderr {
		dst = stderr
	}
	text := l.text
	if timestamps {
		text = slices.Concat([]byte(l.at.UTC().Format(logTime)+" "), text)
	}
	_, err := dst.Write(text)
	return err
}

// CopyTo implements Engine.
func (f *Fake) CopyTo(ctx context.Context, containerID, dir string, tar io.Reader, opts docker.CopyOptions) error {
	const op = "copy into container"
	if err := f.begin(ctx, "CopyTo", containerID); err != nil {
		return err
	}
	data, err := io.ReadAll(tar)
	if err != nil {
		return &docker.Error{Op: op, Object: containerID, Kind: docker.ErrInternal, Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(op, containerID)
	if err != nil {
		return err
	}
	tree, inner, writable := f.resolve(c, path.Clean(dir))
	if at, ok := tree.get(inner); !ok {
		return fail(docker.ErrNotFound, op, containerID, "Could not find the file %s in container %s", dir, containerID)
	} else if !at.mode.IsDir() {
		return fail(docker.ErrInvalid, op, containerID, "extraction point is not a directory")
	}
	if !writable {
		return fail(docker.ErrForbidden, op, containerID, "container rootfs is marked read-only")
	}
	if err := tree.unpack(inner, bytes.NewReader(data), opts.KeepOwner); err != nil {
		return fail(docker.ErrInvalid, op, containerID, "%v", err)
	}
	f.emitContainer(c, "extract-to-dir", nil)
	return nil
}

// CopyFrom implements Engine.
func (f *Fake) CopyFrom(ctx context.Context, containerID, name string) (io.ReadCloser, docker.FileStat, error) {
	stat, err := f.statPath(ctx, "CopyFrom", "copy from container", containerID, name)
	if err != nil {
		return nil, stat, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("copy from container", containerID)
	if err != nil {
		return nil, stat, err
	}
	tree, inner, _ := f.resolve(c, path.Clean(name))
	return io.NopCloser(bytes.NewReader(tree.pack(inner))), stat, nil
}

// StatPath implements Engine.
func (f *Fake) StatPath(ctx context.Context, containerID, name string) (docker.FileStat, error) {
	return f.statPath(ctx, "StatPath", "stat "+name+" in container", containerID, name)
}

func (f *Fake) statPath(ctx context.Context, method, op, containerID, name string) (docker.FileStat, error) {
	if err := f.begin(ctx, method, containerID); err != nil {
		return docker.FileStat{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(op, containerID)
	if err != nil {
		return docker.FileStat{}, err
	}
	tree, inner, _ := f.resolve(c, path.Clean(name))
	file, ok := tree[clean(inner)]
	if clean(inner) == "." {
		file, ok = fakeFile{mode: fs.ModeDir | 0o755}, true
	}
	if !ok {
		return docker.FileStat{}, fail(docker.ErrNotFound, op, containerID, "Could not find the file %s in container %s", name, containerID)
	}
	return docker.FileStat{Name: path.Base(name), Size: int64(len(file.data)), Mode: file.mode, ModTime: file.modTime, LinkTarget: file.link}, nil
}
