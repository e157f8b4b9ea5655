package runtimetest

import (
	"context"
	"strconv"
	"strings"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// ended is the engine noticing that a container's process is over.
func (f *Fake) ended(c *fakeContainer, proc *fakeProcess, code int) {
	c.out.finish()
	f.mu.Lock()
	defer f.mu.Unlock()
	if proc.forced != nil {
		code = *proc.forced
	}
	if c.stdin != nil {
		_ = c.stdin.Close()
		c.stdin = nil
	}
	c.state.Status, c.state.Running, c.state.Paused = docker.StatusExited, false, false
	c.state.Pid, c.state.ExitCode, c.state.FinishedAt = 0, code, time.Now()
	f.detachNetworks(c)
	for _, e := range f.execs {
		if e.container == c {
			e.proc.signal("KILL")
		}
	}
	for _, other := range f.containers {
		if other.state.Running && other.spec.PID == docker.ContainerMode(c.id) {
			other.proc.signal("KILL")
		}
	}
	f.emitContainer(c, "die", map[string]string{"exitCode": strconv.Itoa(code)})
	close(c.exited)
	c.exited = make(chan struct{})
}

// StopContainer implements Engine.
func (f *Fake) StopContainer(ctx context.Context, id string, opts docker.StopOptions) error {
	const op = "stop container"
	if err := f.begin(ctx, "StopContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, id)
	if err != nil || !c.state.Running {
		f.mu.Unlock()
		return err
	}
	proc := c.proc
	signal := opts.Signal
	if signal == "" {
		signal = c.spec.StopSignal
	}
	if signal == "" {
		signal = "TERM"
	}
	if opts.Grace > 0 {
		f.emitContainer(c, "kill", map[string]string{"signal": signal})
		proc.signal(strings.TrimPrefix(signal, "SIG"))
	}
	f.mu.Unlock()
	timer := time.NewTimer(opts.Grace)
	defer timer.Stop()
	select {
	case <-proc.done:
	case <-timer.C:
		proc.signal("KILL")
		<-proc.done
	case <-ctx.Done():
		return &docker.Error{Op: op, Object: id, Err: ctx.Err()}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emitContainer(c, "stop", nil)
	return nil
}

// KillContainer implements Engine.
func (f *Fake) KillContainer(ctx context.Context, id, signal string) error {
	const op = "kill container"
	if err := f.begin(ctx, "KillContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, id)
	if err == nil && !c.state.Running {
		err = fail(docker.ErrConflict, op, id, "Container %s is not running", id)
	}
	if err != nil {
		f.mu.Unlock()
		return err
	}
	proc := c.proc
	f.emitContainer(c, "kill", map[string]string{"signal": signal})
	f.mu.Unlock()
	signal = strings.TrimPrefix(signal, "SIG")
	if signal == "" {
		signal = "KILL"
	}
	proc.signal(signal)
	if signal == "KILL" || signal == "9" {
		<-proc.done // engines wait for it
	}
	return nil
}

// PauseContainer implements Engine.
func (f *Fake) PauseContainer(ctx context.Context, id string) error {
	return f.setPaused(ctx, "PauseContainer", id, true)
}

// UnpauseContainer implements Engine.
func (f *Fake) UnpauseContainer(ctx context.Context, id string) error {
	return f.setPaused(ctx, "UnpauseContainer", id, false)
}

func (f *Fake) setPaused(ctx context.Context, method, id string, paused bool) error {
	if err := f.begin(ctx, method, id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(method, id)
	if err != nil {
		return err
	}
	if !c.state.Running || c.state.Paused == paused {
		return fail(docker.ErrConflict, method, id, "Container %s is not in that state", id)
	}
	c.state.Paused, c.state.Status = paused, docker.StatusRunning
	if paused {
		c.state.Status = docker.StatusPaused
	}
	return nil
}

// RemoveContainer implements Engine.
func (f *Fake) RemoveContainer(ctx context.Context, id string, opts docker.RemoveOptions) error {
	const op = "remove container"
	if err := f.begin(ctx, "RemoveContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, id)
	if err == nil && c.state.Running && !opts.Force {
		err = fail(docker.ErrConflict, op, id, "You cannot remove a running container %s. Stop the container before attempting removal or force remove", c.id)
	}
	if err != nil {
		f.mu.Unlock()
		return err
	}
	proc, running := c.proc, c.state.Running
	f.mu.Unlock()
	if running {
		proc.signal("KILL")
		<-proc.done
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, still := f.containers[c.id]; !still {
		return nil
	}
	delete(f.containers, c.id)
	close(c.gone)
	f.emitContainer(c, "destroy", nil)
	return nil
}

// RenameContainer implements Engine.
func (f *Fake) RenameContainer(ctx context.Context, id, name string) error {
	const op = "rename container"
	if err := f.begin(ctx, "RenameContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(op, id)
	if err != nil {
		return err
	}
	if other := f.lookup(name); other != nil && other != c {
		return fail(docker.ErrConflict, op, id, "name %s is in use", name)
	}
	c.name = name
	f.emitContainer(c, "rename", nil)
	return nil
}

// OOMKill ends a container as the kernel does when its memory limit is reached.
func (f *Fake) OOMKill(id string) {
	f.mu.Lock()
	c := f.lookup(id)
	if c == nil || !c.state.Running {
		f.mu.Unlock()
		return
	}
	c.state.OOMKilled = true
	f.emitContainer(c, "oom", nil)
	proc := c.proc
	f.mu.Unlock()
	proc.signal("KILL")
	<-proc.done
}

// Exit ends a container's process with a code of the test's choosing.
func (f *Fake) Exit(id string, code int) {
	f.mu.Lock()
	c := f.lookup(id)
	if c == nil || !c.state.Running {
		f.mu.Unlock()
		return
	}
	proc := c.proc
	proc.forced = &code
	f.mu.Unlock()
	proc.signal("KILL")
	<-proc.done
}
