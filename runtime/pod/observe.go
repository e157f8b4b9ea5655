package pod

import (
	"context"
	"errors"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/pod/spec"
)

// adopt takes over what a former process left: every container is inspected before the first plan is made.
func (w *Worker) adopt(existing []docker.ContainerSummary) {
	// A former process may have made volumes and died before it made a container, or removed the containers first.
	w.volumesExist = len(existing) > 0 || w.pod.Status.StartTime != nil || w.pod.DeletionTimestamp != nil
	w.adopted = w.volumesExist
	if len(existing) == 0 {
		w.observed = true
		return
	}
	// The sandbox first: it is asked for what the others left to say.
	var ids []string
	for _, sandbox := range []bool{true, false} {
		for _, c := range existing {
			if (c.Labels[docker.LabelRole] == string(docker.RoleSandbox)) == sandbox {
				ids = append(ids, c.ID)
			}
		}
	}
	go w.inspectAll(ids)
}

// inspectAll inspects containers, retrying until the engine answers, and hands the whole picture to the worker.
func (w *Worker) inspectAll(ids []string) {
	found := make([]*seen, 0, len(ids))
	for _, id := range ids {
		s, err := w.look(w.ctx, id)
		for pause := 100 * time.Millisecond; err != nil; pause = min(2*pause, 5*time.Second) {
			w.cfg.Logger.Warn("inspect a container of an adopted pod", "container", id, "error", err)
			select {
			case <-w.ctx.Done():
				return
			case <-time.After(pause):
			}
			s, err = w.look(w.ctx, id)
		}
		if s == nil {
			continue
		}
		if s.sandbox != nil && s.sandbox.State == plan.Running {
			w.sandboxFor.Store(&s.sandbox.ID)
		}
		found = append(found, s)
	}
	w.post(func() {
		for _, s := range found {
			w.record(s)
			w.seed(s)
		}
		w.observed = true
	})
}

// seen is what an inspection has shown; a nil seen is a container that doesn't exist.
type seen struct {
	resources   docker.Resources
	sandbox     *plan.Sandbox
	container   *plan.Container
	mountpoints map[string]string
}

// look inspects one container and, if it has ended, fetches what it left to say.
func (w *Worker) look(ctx context.Context, id string) (*seen, error) {
	c, err := w.cfg.Engine.InspectContainer(ctx, id)
	if errors.Is(err, docker.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return w.interpret(ctx, c), nil
}

func (w *Worker) interpret(ctx context.Context, c *docker.Container) *seen {
	id, ok := docker.ParseIdentity(c.Labels)
	if !ok {
		return nil
	}
	if id.Role == docker.RoleSandbox {
		s := &seen{sandbox: &plan.Sandbox{ID: c.ID, Attempt: id.Attempt, State: state(c), Created: c.Created}, mountpoints: map[string]string{}}
		if ip := c.IP(w.cfg.Spec.Network); ip.IsValid() {
			s.sandbox.IPs = append(s.sandbox.IPs, ip.String())
		}
		for _, m := range c.Mounts {
			if m.Type == docker.MountVolume {
				s.mountpoints[m.Name] = m.Source
			}
		}
		return s
	}
	sandbox, _ := strconv.Atoi(c.Labels[spec.LabelSandbox])
	backoff, _ := time.ParseDuration(c.Labels[spec.LabelBackoff])
	out := &plan.Container{
		ID: c.ID, Name: id.Container, Attempt: id.Attempt, Sandbox: sandbox, State: state(c), ExitCode: c.State.ExitCode,
		OOMKilled: c.State.OOMKilled, Created: c.Created, Started: c.State.StartedAt, Finished: c.State.FinishedAt,
		Hash: id.SpecHash, Image: c.Image, ImageID: "docker://" + c.ImageID, Backoff: backoff,
	}
	if c.State.Status == docker.StatusCreated && (c.State.Error != "" || c.State.ExitCode != 0) {
		// The engine leaves a container that it could not start as if it had never tried.
		out.State, out.StartError = plan.Exited, c.State.Error
		if out.StartError == "" {
			out.StartError = "the engine could not start the container"
		}
		out.ExitCode = 128
	}
	if out.State == plan.Exited {
		out.Message = w.terminationMessage(ctx, out, c.TTY)
	}
	return &seen{container: out, resources: c.Resources}
}

func state(c *docker.Container) plan.State {
	switch {
	case c.State.Running:
		return plan.Running
	case c.State.Status == docker.StatusCreated:
		return plan.Created
	}
	return plan.Exited
}

// record takes an observation over. What is gone stays gone: a late answer must not bring it back.
func (w *Worker) record(s *seen) {
	switch {
	case s == nil:
	case s.sandbox != nil:
		if old := w.sandboxes[s.sandbox.ID]; old != nil {
			if old.State == plan.Gone {
				return
			}
			s.sandbox.Prepared = old.Prepared
			if len(s.sandbox.IPs) == 0 {
				s.sandbox.IPs = old.IPs
			}
		}
		w.sandboxes[s.sandbox.ID] = s.sandbox
		for name, place := range s.mountpoints {
			w.mountpoints[name] = place
		}
	case s.container != nil:
		if old := w.containers[s.container.ID]; old != nil && old.State == plan.Gone {
			return
		}
		if old := w.containers[s.container.ID]; old != nil {
			s.container.OOMKilled = s.container.OOMKilled || old.OOMKilled
			if s.container.Message == "" {
				s.container.Message = old.Message
			}
		}
		w.containers[s.container.ID] = s.container
		w.resources[s.container.ID] = s.resources
	}
}

// EngineEvent tells the worker that something happened to one of its containers.
func (w *Worker) EngineEvent(ev docker.Event) {
	switch ev.Action {
	case "die", "destroy", "oom", "start":
	default:
		return
	}
	w.post(func() { w.onEvent(ev) })
}

func (w *Worker) onEvent(ev docker.Event) {
	if ev.Action == "destroy" {
		w.vanish(ev.ID)
		return
	}
	if s := w.sandboxes[ev.ID]; s != nil {
		if ev.Action == "die" && s.State == plan.Running {
			s.State = plan.Exited
		}
		return
	}
	c := w.containers[ev.ID]
	if c == nil || c.State == plan.Gone {
		return
	}
	switch ev.Action {
	case "start":
		if c.State == plan.Created && w.flights[plan.Key{Kind: plan.StartContainer, Target: ev.ID}] == nil {
			w.reinspect(ev.ID)
		}
	case "oom":
		c.OOMKilled = true
	case "die":
		if w.flights[plan.Key{Kind: plan.StopContainer, Target: ev.ID}] == nil {
			w.reinspect(ev.ID)
		}
	}
}

// vanish notes that the engine no longer has a container.
func (w *Worker) vanish(id string) {
	if s := w.sandboxes[id]; s != nil {
		s.State = plan.Gone
	}
	c := w.containers[id]
	if c == nil {
		return
	}
	switch c.State {
	case plan.Running:
		// Nobody saw how it ended.
		c.ExitCode, c.Finished = 137, time.Now()
	case plan.Created:
		delete(w.containers, id)
		return
	}
	c.State = plan.Gone
}

// reinspect looks at a container beside the worker, once at a time.
func (w *Worker) reinspect(id string) {
	if w.inspecting[id] {
		return
	}
	w.inspecting[id] = true
	go func() {
		s, err := w.look(w.ctx, id)
		w.post(func() {
			delete(w.inspecting, id)
			switch {
			case err != nil:
				w.cfg.Logger.Warn("inspect container", "container", id, "error", err)
				time.AfterFunc(time.Second, func() { w.post(func() { w.reinspect(id) }) })
			case s == nil:
				w.vanish(id)
			default:
				w.record(s)
			}
		})
	}()
}

// Resync tells the worker everything that the engine has of its pod, after events may have been lost. The engine may have
// been away: what failed is tried again at once.
func (w *Worker) Resync(existing []docker.ContainerSummary) {
	w.post(func() {
		clear(w.faults)
		there := sets.New[string]()
		for _, c := range existing {
			there.Insert(c.ID)
			known := plan.State("")
			if s := w.sandboxes[c.ID]; s != nil {
				known = s.State
			} else if k := w.containers[c.ID]; k != nil {
				known = k.State
			}
			if known != summaryState(c.Status) && known != plan.Gone {
				w.reinspect(c.ID)
			}
		}
		if !w.observed {
			return
		}
		// What isn't listed may have been made since the list was: only an inspection tells.
		for id, s := range w.sandboxes {
			if !there.Has(id) && s.State != plan.Gone {
				w.reinspect(id)
			}
		}
		for id, c := range w.containers {
			if !there.Has(id) && c.State != plan.Gone {
				w.reinspect(id)
			}
		}
	})
}

func summaryState(s docker.ContainerStatus) plan.State {
	switch s {
	case docker.StatusRunning, docker.StatusPaused, docker.StatusRestarting:
		return plan.Running
	case docker.StatusCreated:
		return plan.Created
	}
	return plan.Exited
}
