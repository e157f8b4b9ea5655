package pod

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/pod/spec"
	"skiff.local/skiff/runtime/volume"
	"skiff.local/skiff/runtime/volume/wire"
)

func (w *Worker) ensureImage(op plan.Op) job {
	pod, c := w.pod, containerSpec(w.pod, op.Container)
	if c == nil {
		return func(context.Context) (func(), error) {
			return nil, fmt.Errorf("the pod has no container %q", op.Container)
		}
	}
	volumes, there := imageVolumes(pod, c), copied(pod, w.containers)
	if len(volumes) > 0 {
		w.volumesExist = true
	}
	notify := func(warning bool, reason, message string) {
		kind := v1.EventTypeNormal
		if warning {
			kind = v1.EventTypeWarning
		}
		w.cfg.Recorder.Event(reference(pod, fieldPath(pod, op.Container)), kind, reason, message)
	}
	return func(ctx context.Context) (func(), error) {
		for _, v := range volumes {
			if err := w.ensureImageVolume(ctx, pod, v, there[v.Name], notify); err != nil {
				return nil, err
			}
		}
		image, err := w.cfg.Images.Ensure(ctx, pod, c, notify)
		if err != nil {
			return nil, err
		}
		return func() { w.images[op.Container] = ensured{op.Attempt, image} }, nil
	}
}

// createContainer makes a container of the pod. It does not need the sandbox to run, unless the planner said so.
func (w *Worker) createContainer(op plan.Op) job {
	pod, c := w.pod, containerSpec(w.pod, op.Container)
	image := w.images[op.Container].image
	volumes, places := w.volumes, cloneMap(w.mountpoints)
	ips := w.podIPs()
	target := w.targetOf(op.Container)
	return func(ctx context.Context) (func(), error) {
		if c == nil {
			return nil, fmt.Errorf("the pod has no container %q", op.Container)
		}
		env, err := w.cfg.Spec.Env(ctx, spec.EnvInput{
			Pod: pod, Container: c, Objects: w.cfg.Objects, PodIPs: ips, HostIPs: w.cfg.HostIPs, File: w.envFile(op.Sandbox),
		})
		if err != nil {
			return nil, err
		}
		subpaths, err := w.subpaths(ctx, op.Sandbox, c, volumes, env)
		if err != nil {
			return nil, &spec.ConfigError{Err: fmt.Errorf("failed to prepare subPath for volumeMount of container %q: %w", c.Name, err)}
		}
		mounts, err := volume.Mounts(volume.MountInput{
			Container: c, Attempt: op.Attempt, Volumes: volumes, Features: w.cfg.Spec.Features, Mountpoints: places, Subpaths: subpaths,
		})
		if err != nil {
			return nil, &spec.ConfigError{Err: err}
		}
		runtime, err := w.runtime(ctx, pod)
		if err != nil {
			return nil, err
		}
		request, err := w.cfg.Spec.Container(spec.ContainerInput{
			Pod: pod, Container: c, Attempt: op.Attempt, Hash: plan.Hash(c), Backoff: op.Backoff, Sandbox: op.Sandbox,
			SandboxAttempt: op.SandboxAttempt, ImageID: image.ID, ImageUser: image.User, Env: env, Mounts: mounts, TargetID: target,
		})
		if err != nil {
			return nil, err
		}
		request.Runtime = runtime
		if request.OOMScoreAdj < 0 && !w.cfg.protects(ctx) {
			request.OOMScoreAdj = 0
		}
		id, err := w.create(ctx, request)
		if err != nil {
			return nil, err
		}
		return func() {
			if w.containers[id] == nil {
				w.containers[id] = &plan.Container{
					ID: id, Name: c.Name, Attempt: op.Attempt, Sandbox: op.SandboxAttempt, State: plan.Created, Created: time.Now(),
					Hash: plan.Hash(c), Image: c.Image, ImageID: "docker://" + image.ID, Backoff: op.Backoff,
				}
			}
			w.containerEvent(c.Name, v1.EventTypeNormal, "Created", "Container created")
			w.unenforcedEvent(c)
		}, nil
	}
}

func cloneMap(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// targetOf is the container whose processes an ephemeral container shares.
func (w *Worker) targetOf(name string) string {
	for i := range w.pod.Spec.EphemeralContainers {
		e := &w.pod.Spec.EphemeralContainers[i]
		if e.Name != name || e.TargetContainerName == "" {
			continue
		}
		for _, c := range w.containers {
			if c.Name == e.TargetContainerName && c.State == plan.Running {
				return c.ID
			}
		}
	}
	return ""
}

// startContainer starts a created container. Its termination message's file has to be there first: the engine would make a
// directory of it.
func (w *Worker) startContainer(op plan.Op) job {
	c := containerSpec(w.pod, op.Container)
	hooked := c != nil && c.Lifecycle != nil && c.Lifecycle.PostStart != nil
	return func(ctx context.Context) (func(), error) {
		touch := []wire.Op{{Kind: wire.Touch, Path: volume.TerminationFile(op.Container, op.Attempt), Mode: 0o666}}
		if results, err := w.ask(ctx, op.Sandbox, touch); err != nil || volume.FirstError(touch, results) != nil {
			if err == nil {
				err = volume.FirstError(touch, results)
			}
			return nil, err
		}
		startErr := w.start(ctx, op.ID, true)
		s, err := w.look(ctx, op.ID)
		if err != nil {
			return nil, err
		}
		apply := func() { w.onStarted(op, s, hooked, startErr) }
		if startErr != nil && s != nil && s.container.StartError != "" {
			// The container's own fault, which its state tells: restarting it is a matter of back-off.
			return apply, nil
		}
		return apply, startErr
	}
}

func (w *Worker) onStarted(op plan.Op, s *seen, hooked bool, startErr error) {
	if s == nil {
		w.vanish(op.ID)
		return
	}
	w.record(s)
	switch {
	case startErr != nil:
		w.containerEvent(op.Container, v1.EventTypeWarning, "Failed", "Error: "+message(startErr))
	default:
		w.containerEvent(op.Container, v1.EventTypeNormal, "Started", "Container started")
		if hooked {
			w.hooks[op.ID] = plan.HookPending
		}
	}
}

func (w *Worker) removeContainer(op plan.Op) job {
	return func(ctx context.Context) (func(), error) {
		if err := w.remove(ctx, op.ID); err != nil {
			return nil, err
		}
		return func() { w.vanish(op.ID) }, nil
	}
}

// terminationMessage fetches what a container that has ended left to say, within kubelet's limits.
func (w *Worker) terminationMessage(ctx context.Context, c *plan.Container, tty bool) string {
	const longest, fallbackLines, fallbackBytes = 4096, 80, 2048
	text := w.readTermination(ctx, c, longest)
	if text == "" && c.ExitCode != 0 && w.fallsBackToLogs(c.Name) {
		tail := fallbackLines
		var out limitedBuffer
		err := w.cfg.Engine.Logs(ctx, c.ID, docker.LogOptions{TTY: tty, Tail: &tail}, &out, &out)
		if err == nil {
			text = out.last(fallbackBytes)
		}
	}
	return text
}

func (w *Worker) readTermination(ctx context.Context, c *plan.Container, longest int64) string {
	sandbox := w.sandboxFor.Load()
	if sandbox == nil || *sandbox == "" {
		return ""
	}
	ops := []wire.Op{{Kind: wire.ReadFile, Path: volume.TerminationFile(c.Name, c.Attempt), Limit: longest}}
	results, err := w.ask(ctx, *sandbox, ops)
	if err != nil || results[0].Err != "" {
		return ""
	}
	return string(results[0].Data)
}

func (w *Worker) fallsBackToLogs(name string) bool {
	c := containerSpec(w.current.Load(), name)
	return c != nil && c.TerminationMessagePolicy == v1.TerminationMessageFallbackToLogsOnError
}
