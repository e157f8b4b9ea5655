package pod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/probe"
)

const (
	// leastGrace is what a container always gets between its signal and the kill, however much its preStop hook took.
	leastGrace = 2 * time.Second
	// stopTurn is how long a stop may keep the next ones waiting. Chosen: a container that ends at its signal is down by then.
	stopTurn = 100 * time.Millisecond
	// endpointsPatience bounds the wait for Services to forget the pod. Chosen: programming the relay takes milliseconds.
	endpointsPatience = 3 * time.Second
)

// stopContainer runs the preStop hook and stops the container, both within the deadline.
func (w *Worker) stopContainer(op plan.Op) job {
	pod, c := w.pod, containerSpec(w.pod, op.Container)
	if op.Reason == "Changed" || op.Reason == "Resize" || op.Reason == "RestartAllContainers" {
		w.again[op.ID] = true
	}
	if !op.Quiet {
		text := op.Cause
		switch op.Reason {
		case "Deleted", "Finished", "Completed", "InitFailed", "Gone":
			text = "Stopping container " + op.Container
		}
		w.containerEvent(op.Container, v1.EventTypeNormal, "Killing", text)
	}
	ips := w.podIPs()
	hooked := c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && !op.Quiet && !w.preStopped[op.ID]
	return func(ctx context.Context) (func(), error) {
		if hooked && time.Until(op.Deadline) > 0 {
			w.preStop(ctx, pod, c, op, ips)
		}
		turn, err := w.cfg.Stops.hold(ctx, stopTurn)
		if err != nil {
			return nil, err
		}
		grace := time.Until(op.Deadline)
		if !op.Quiet {
			grace = max(grace, leastGrace)
		}
		err = w.cfg.Engine.StopContainer(ctx, op.ID, docker.StopOptions{Grace: max(grace, 0)})
		turn()
		if err != nil && !errors.Is(err, docker.ErrNotFound) {
			return nil, err
		}
		s, err := w.look(ctx, op.ID)
		if err != nil {
			return nil, err
		}
		return func() {
			if s == nil {
				w.vanish(op.ID)
				return
			}
			w.record(s)
		}, nil
	}
}

// hurry makes a stop that is under way end at an earlier time.
func (w *Worker) hurry(op plan.Op) {
	f := w.flights[op.Key()]
	if f == nil {
		return
	}
	f.deadline = op.Deadline
	ctx := w.ctx
	time.AfterFunc(max(time.Until(op.Deadline), leastGrace), func() {
		if ctx.Err() == nil {
			_ = w.cfg.Engine.KillContainer(ctx, op.ID, "SIGKILL") // one that is down already is what we want
		}
	})
}

func (w *Worker) preStop(ctx context.Context, pod *v1.Pod, c *v1.Container, op plan.Op, ips []string) {
	ctx, cancel := context.WithDeadline(ctx, op.Deadline)
	defer cancel()
	if err := w.runHook(ctx, pod, c, op.ID, c.Lifecycle.PreStop, ips); err != nil {
		w.cfg.Recorder.Event(reference(pod, fieldPath(pod, c.Name)), v1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
		w.cfg.Logger.Info("preStop hook failed", "pod", pod.Namespace+"/"+pod.Name, "container", c.Name, "error", err)
	}
}

// preStopSidecar runs the hook of a sidecar before its turn to stop comes.
func (w *Worker) preStopSidecar(op plan.Op) job {
	pod, c, ips := w.pod, containerSpec(w.pod, op.Container), w.podIPs()
	return func(ctx context.Context) (func(), error) {
		if c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			w.preStop(ctx, pod, c, op, ips)
		}
		return func() { w.preStopped[op.ID] = true }, nil
	}
}

// postStart runs the hook of a container that has just started.
func (w *Worker) postStart(op plan.Op) job {
	pod, c, ips := w.pod, containerSpec(w.pod, op.Container), w.podIPs()
	return func(ctx context.Context) (func(), error) {
		if c == nil || c.Lifecycle == nil || c.Lifecycle.PostStart == nil {
			return func() { w.hooks[op.ID] = plan.HookDone }, nil
		}
		err := w.runHook(ctx, pod, c, op.ID, c.Lifecycle.PostStart, ips)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return func() {
			w.hooks[op.ID] = plan.HookDone
			if err != nil {
				w.hooks[op.ID] = plan.HookFailed
				w.containerEvent(c.Name, v1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
				w.cfg.Logger.Info("postStart hook failed", "pod", pod.Namespace+"/"+pod.Name, "container", c.Name, "error", err)
			}
		}, nil
	}
}

func (w *Worker) runHook(ctx context.Context, pod *v1.Pod, c *v1.Container, id string, hook *v1.LifecycleHandler, ips []string) error {
	switch {
	case hook.Exec != nil:
		code, output, err := w.execIn(ctx, id, hook.Exec.Command)
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d: %s", code, bytes.TrimSpace(output))
		}
		return err
	case hook.HTTPGet != nil:
		if ok, message := probe.HTTPGet(ctx, hook.HTTPGet, w.target(c, id, ips), "lifecycle"); !ok {
			return errors.New(message)
		}
		return nil
	case hook.Sleep != nil:
		select {
		case <-time.After(time.Duration(hook.Sleep.Seconds) * time.Second):
		case <-ctx.Done():
		}
		return nil
	}
	return errors.New("invalid handler")
}

// execIn runs a command in a container; when ctx ends, the command is killed.
func (w *Worker) execIn(ctx context.Context, id string, command []string) (int, []byte, error) {
	var out limitedBuffer
	code, err := w.cfg.Engine.Exec(ctx, id, docker.ExecSpec{Cmd: command, KillImage: w.cfg.Spec.NodeImage},
		docker.Streams{Stdout: &out, Stderr: &out})
	return code, out.bytes(), err
}

// awaitEndpoints waits until no Service sends anything to the pod any more.
func (w *Worker) awaitEndpoints() job {
	pod := w.pod
	needed := podReady(pod)
	return func(ctx context.Context) (func(), error) {
		if needed {
			ctx, cancel := context.WithTimeout(ctx, endpointsPatience)
			defer cancel()
			w.cfg.EndpointsSettled(ctx, pod)
		}
		return func() { w.endpointsGone = true }, nil
	}
}

// podReady reports whether Services may be sending to the pod.
func podReady(pod *v1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

// finish writes the last status and releases the API object.
func (w *Worker) finish() job {
	pod := w.pod
	status := w.finalStatus()
	return func(ctx context.Context) (func(), error) {
		if err := w.writeStatus(ctx, pod, status); err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		now := int64(0)
		err := w.cfg.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return nil, err
		}
		return func() { w.finished = true }, nil
	}
}
