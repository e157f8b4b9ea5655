package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/pod/spec"
)

// A job does an operation outside of the worker's goroutine and returns what to do with the outcome inside it.
type job func(ctx context.Context) (apply func(), err error)

// launch starts an operation.
func (w *Worker) launch(op plan.Op) {
	key := op.Key()
	ctx, cancel := context.WithCancel(w.ctx)
	f := &flight{since: time.Now(), deadline: op.Deadline, cancel: cancel}
	w.flights[key] = f
	work := w.jobFor(op)
	w.cfg.Logger.Debug("pod operation", "pod", w.pod.Namespace+"/"+w.pod.Name, "op", op.String())
	go func() {
		apply, err := work(ctx)
		cancelled := ctx.Err() != nil
		cancel()
		w.post(func() {
			delete(w.flights, key)
			switch {
			case err == nil:
				delete(w.faults, key)
			case cancelled, f.outdated:
			default:
				w.fail(op, err)
			}
			if apply != nil {
				apply()
			}
		})
	}()
}

// jobFor reads what the operation needs while the worker's state can be read.
func (w *Worker) jobFor(op plan.Op) job {
	switch op.Kind {
	case plan.Source:
		return w.sourceVolumes()
	case plan.CreateSandbox:
		return w.createSandbox(op)
	case plan.StartSandbox:
		return w.startSandbox(op)
	case plan.PrepareSandbox:
		return w.prepareSandbox(op)
	case plan.RemoveSandbox:
		return w.removeSandbox(op)
	case plan.EnsureImage:
		return w.ensureImage(op)
	case plan.CreateContainer:
		return w.createContainer(op)
	case plan.StartContainer:
		return w.startContainer(op)
	case plan.PostStart:
		return w.postStart(op)
	case plan.PreStop:
		return w.preStopSidecar(op)
	case plan.ResizeContainer:
		return w.resizeContainer(op)
	case plan.StopContainer:
		return w.stopContainer(op)
	case plan.RemoveContainer:
		return w.removeContainer(op)
	case plan.AwaitEndpoints:
		return w.awaitEndpoints()
	case plan.RemoveVolumes:
		return w.removeVolumes()
	case plan.Finish:
		return w.finish()
	}
	return func(context.Context) (func(), error) { return nil, fmt.Errorf("no such operation: %s", op.Kind) }
}

// The words of kubelet for failures, by operation.
func defaultReason(kind plan.Kind) string {
	switch kind {
	case plan.EnsureImage:
		return "ErrImagePull"
	case plan.CreateContainer:
		return "CreateContainerError"
	case plan.StartContainer:
		return "RunContainerError"
	case plan.CreateSandbox, plan.StartSandbox:
		return "FailedCreatePodSandBox"
	case plan.PrepareSandbox, plan.Source:
		return "FailedMount"
	case plan.ResizeContainer:
		return "ResizeError"
	case plan.StopContainer, plan.RemoveSandbox, plan.RemoveContainer:
		return "FailedKillPod"
	}
	return "FailedSync"
}

// fail remembers a failure and tells the world about it.
func (w *Worker) fail(op plan.Op, err error) {
	key := op.Key()
	fault := w.faults[key]
	fault.At, fault.Count = time.Now(), fault.Count+1
	fault.Reason, fault.Message = defaultReason(op.Kind), message(err)
	var reasoned Reasoned
	var config *spec.ConfigError
	var mount *mountError
	switch {
	case errors.As(err, &reasoned):
		fault.Reason = reasoned.Reason()
	case errors.As(err, &config):
		fault.Reason = "CreateContainerConfigError"
	case errors.As(err, &mount):
		fault.Reason = "FailedMount"
	}
	w.faults[key] = fault
	w.cfg.Logger.Warn("pod operation failed", "pod", w.pod.Namespace+"/"+w.pod.Name, "op", op.String(), "error", err)
	w.failureEvent(op, fault)
}

func (w *Worker) failureEvent(op plan.Op, fault plan.Fault) {
	switch op.Kind {
	case plan.EnsureImage:
		// The image's own messages came with the attempt.
		w.containerEvent(op.Container, v1.EventTypeWarning, "Failed", "Error: "+fault.Reason)
	case plan.CreateContainer, plan.StartContainer:
		w.containerEvent(op.Container, v1.EventTypeWarning, "Failed", "Error: "+fault.Message)
	case plan.CreateSandbox, plan.StartSandbox:
		if fault.Reason == "FailedMount" {
			w.event(v1.EventTypeWarning, fault.Reason, fault.Message)
			return
		}
		w.event(v1.EventTypeWarning, fault.Reason, "Failed to create pod sandbox: "+fault.Message)
	case plan.PostStart, plan.AwaitEndpoints:
	default:
		w.event(v1.EventTypeWarning, fault.Reason, fault.Message)
	}
}

// message is what a person reads about a failure: the engine's words and its hint.
func message(err error) string {
	text := err.Error()
	if hint := docker.Hint(err); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// A mountError is a volume that can't be had.
type mountError struct{ err error }

func (e *mountError) Error() string { return e.err.Error() }
func (e *mountError) Unwrap() error { return e.err }
