package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Kill ends the command and everything it started.
//
// The engine's API can't signal an exec: closing its connection leaves it running, and the pid that inspect gives is one
// of the engine's host, where we have no process. So the signal is sent from inside: a short-lived helper container joins
// the container's pid namespace, finds every process that carries the exec's marker in its environment, and kills them
// and their descendants; a second time if the engine had only just begun to start the command. A program that wiped its environment escapes that; if the engine still reports the exec
// as running afterwards, a second helper in the engine host's pid namespace kills the pid that inspect gave, if that is
// still a process of the container: an engine that missed an end goes on naming a pid that may be anybody's by now. A rootless
// engine has no such helper. Kill returns nil only when the engine confirms the end.
func (s *session) Kill(ctx context.Context) error {
	if s.killImage == "" {
		return &Error{Op: "kill exec", Object: s.id, Kind: ErrUnsupported, Text: "it was not started as killable"}
	}
	return s.engine.killExec(ctx, s.id, s.containerID, s.marker, s.killImage)
}

func (e *Engine) killExec(ctx context.Context, execID, containerID, marker, image string) error {
	const op = "kill exec in container"
	target, err := e.InspectContainer(ctx, containerID)
	if errors.Is(err, ErrNotFound) || err == nil && !target.State.Running {
		return nil // it died with its container
	}
	if err != nil {
		return err
	}
	inside := helperSpec(image, target, ContainerMode(target.ID), "kill", "--marker", marker)
	var helperErr error
	var state ExecState
	for range 2 {
		helperErr = e.runHelper(ctx, inside)
		if state, err = e.settledExec(ctx, execID); errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !state.Running {
			return nil
		}
	}
	outside := helperSpec(image, target, "host", "kill", "--pid", strconv.Itoa(state.Pid), "--container", target.ID)
	helperErr = errors.Join(helperErr, e.runHelper(ctx, outside))
	if state, err = e.settledExec(ctx, execID); err == nil && state.Running {
		return errors.Join(&Error{Op: op, Object: containerID, Kind: ErrInternal, Text: fmt.Sprintf("process %d survived", state.Pid)}, helperErr)
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// settledExec gives the engine a moment to notice the end of a process, and all the time there is to start one: until then
// nothing could be killed.
func (e *Engine) settledExec(ctx context.Context, execID string) (ExecState, error) {
	const patience, pause = 2 * time.Second, 20 * time.Millisecond // chosen: the engine notices within milliseconds
	deadline := time.Now().Add(patience)
	for {
		state, err := e.InspectExec(ctx, execID)
		if err != nil || !state.Running || state.Pid != 0 && time.Now().After(deadline) {
			return state, err
		}
		select {
		case <-ctx.Done():
			return state, e.convert(ctx.Err(), "inspect exec", execID)
		case <-time.After(pause):
		}
	}
}

// helperSpec is a container that acts on the processes of another one. It shares that one's network namespace only
// because making a new one is most of what a container costs.
func helperSpec(image string, target *Container, pid string, args ...string) ContainerSpec {
	userNS := ""
	if pid == "host" {
		userNS = "host" // an engine that remaps users allows the one only with the other
	}
	return ContainerSpec{
		UserNS:     userNS,
		Image:      image,
		Entrypoint: []string{HelperPath},
		Cmd:        args,
		User:       "0:0",
		Labels:     ProfileLabels(target.Labels[LabelProfile], RoleHelper),
		Network:    ContainerMode(target.ID),
		PID:        pid,
		IPC:        "none",
		CapDrop:    []string{"ALL"},
		// To read other users' environments, and to signal them.
		CapAdd: []string{"SYS_PTRACE", "DAC_READ_SEARCH", "KILL"},
		// AppArmor's default profile lets nobody signal the processes of an unconfined container; SELinux keeps every
		// container's processes from those of the others.
		Security:       SecurityOptions{AppArmor: "unconfined", SELinuxDisable: true, NoNewPrivileges: true},
		ReadonlyRootfs: true,
		Log:            LogConfig{Driver: "json-file"},
	}
}

// HelperPath is where the helper image has its only program.
const HelperPath = "/skiff-node"

// runHelper runs a chore container to its end and removes it.
func (e *Engine) runHelper(ctx context.Context, spec ContainerSpec) error {
	id, err := e.CreateContainer(ctx, spec)
	if err != nil {
		return err
	}
	defer func() {
		removeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = e.RemoveContainer(removeCtx, id, RemoveOptions{Force: true})
	}()
	if err := e.StartContainer(ctx, id); err != nil {
		return err
	}
	code, err := e.WaitContainer(ctx, id, WaitNotRunning)
	if err != nil {
		return err
	}
	if code == 0 {
		return nil
	}
	var output tailBuffer
	_ = e.Logs(ctx, id, LogOptions{}, &output, &output)
	return &Error{Op: "run helper", Object: spec.Cmd[0], Kind: ErrInternal, Text: fmt.Sprintf("exit code %d: %s", code, output.String())}
}
