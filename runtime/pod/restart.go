package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
)

// RestartInPlace ends a running container's process as a deletion would and starts the same container again, so that files
// that were written into it stay: Kubernetes' own restarts make a new container of the image. It is no failure and counts as
// no restart, and runs no hooks. It returns when the process runs again.
func (w *Worker) RestartInPlace(ctx context.Context, container string) error {
	ended := make(chan error, 1)
	w.post(func() { w.restartInPlace(container, ended) })
	select {
	case err := <-ended:
		return err
	case <-w.done:
		return errors.New("the pod is gone")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *Worker) restartInPlace(container string, ended chan<- error) {
	var c *plan.Container
	for _, known := range w.containers {
		if known.Name == container && known.State == plan.Running {
			c = known
		}
	}
	if c == nil || w.gone || w.pod.DeletionTimestamp != nil {
		ended <- fmt.Errorf("the pod runs no container %q", container)
		return
	}
	// To the planner this is a stop under way: it starts no second one, nor anything in the container's place.
	key := plan.Key{Kind: plan.StopContainer, Target: c.ID}
	if w.flights[key] != nil {
		ended <- fmt.Errorf("container %q is being stopped already", container)
		return
	}
	grace := time.Duration(v1.DefaultTerminationGracePeriodSeconds) * time.Second
	if seconds := w.pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	ctx, cancel := context.WithCancel(w.ctx)
	w.flights[key] = &flight{since: time.Now(), deadline: time.Now().Add(grace), cancel: cancel}
	w.containerEvent(container, v1.EventTypeNormal, "Killing", "Restarting the container in place")
	go func() {
		defer cancel()
		err := w.cfg.Engine.StopContainer(ctx, c.ID, docker.StopOptions{Grace: grace})
		if err == nil {
			err = w.cfg.Engine.StartContainer(ctx, c.ID)
		}
		s, lookErr := w.look(ctx, c.ID)
		w.post(func() {
			delete(w.flights, key)
			// What the old process answered says nothing about the new one.
			w.stopProbes(func(k proberKey) bool { return k.id == c.ID })
			delete(w.probes, c.ID)
			switch {
			case lookErr != nil:
				w.reinspect(c.ID)
			case s == nil:
				w.vanish(c.ID)
			default:
				w.record(s)
			}
			if err == nil {
				w.containerEvent(container, v1.EventTypeNormal, "Started", "Container restarted in place")
			}
			ended <- err
		})
	}()
}
