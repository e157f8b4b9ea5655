package pod

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/probe"
)

// reconcileProbes starts and stops probes as the containers' states ask for.
func (w *Worker) reconcileProbes(next *plan.Plan) {
	want := map[proberKey]bool{}
	if !w.gone {
		for _, c := range w.containers {
			if c.State == plan.Running {
				w.wantProbes(c, next, want)
			}
		}
	}
	w.stopProbes(func(key proberKey) bool { return !want[key] })
	for key := range want {
		if w.probers[key] == nil {
			w.startProbe(key)
		}
	}
}

// wantProbes adds the probes that should run for a container: a startup probe first, the others once it has succeeded.
// While the pod goes down only readiness is of interest.
func (w *Worker) wantProbes(c *plan.Container, next *plan.Plan, want map[proberKey]bool) {
	spec := containerSpec(w.pod, c.Name)
	if spec == nil {
		return
	}
	if hook := w.hooks[c.ID]; hook == plan.HookPending || hook == plan.HookFailed {
		return
	}
	results := w.probes[c.ID]
	if spec.StartupProbe != nil && results.Startup != plan.Success {
		if results.Startup == plan.Unknown && !next.Terminal {
			want[proberKey{c.ID, probe.Startup}] = true
		}
		return
	}
	if spec.LivenessProbe != nil && results.Liveness != plan.Failure && !next.Terminal {
		want[proberKey{c.ID, probe.Liveness}] = true
	}
	if spec.ReadinessProbe != nil {
		want[proberKey{c.ID, probe.Readiness}] = true
	}
}

func (w *Worker) stopProbes(which func(proberKey) bool) {
	for key, cancel := range w.probers {
		if which(key) {
			cancel()
			delete(w.probers, key)
		}
	}
}

func (w *Worker) startProbe(key proberKey) {
	c := w.containers[key.id]
	spec := containerSpec(w.pod, c.Name)
	var what *v1.Probe
	switch key.kind {
	case probe.Liveness:
		what = spec.LivenessProbe
	case probe.Readiness:
		what = spec.ReadinessProbe
	case probe.Startup:
		what = spec.StartupProbe
	}
	ctx, cancel := context.WithCancel(w.ctx)
	w.probers[key] = cancel
	target := w.target(spec, key.id, w.podIPs())
	started := c.Started
	go probe.Run(ctx, key.kind, what, target, started, func(o probe.Outcome) {
		if ctx.Err() == nil {
			w.post(func() { w.onProbe(key, o) })
		}
	})
}

// target is how a container is probed.
func (w *Worker) target(c *v1.Container, id string, ips []string) probe.Target {
	ip := ""
	if len(ips) > 0 {
		ip = ips[0]
	}
	if w.current.Load().Spec.HostNetwork && w.cfg.HostAddress != "" {
		ip = w.cfg.HostAddress
	}
	return probe.Target{Container: c, PodIP: ip, Dial: w.cfg.Dial, Exec: w.execOneAtATime(id)}
}

// execOneAtATime runs the commands of one probe. A command that outlives its time is reported at once and killed beside,
// which takes longer the busier the engine is; until it is dead the next one waits, within its own time.
func (w *Worker) execOneAtATime(id string) func(ctx context.Context, command []string) (int, []byte, error) {
	type outcome struct {
		code   int
		output []byte
		err    error
	}
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, command []string) (int, []byte, error) {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
		done := make(chan outcome, 1)
		go func() {
			defer func() { <-turn }()
			code, output, err := w.execIn(ctx, id, command)
			done <- outcome{code, output, err}
		}()
		select {
		case o := <-done:
			return o.code, o.output, o.err
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

func (w *Worker) onProbe(key proberKey, o probe.Outcome) {
	c := w.containers[key.id]
	if c == nil || c.State != plan.Running || w.probers[key] == nil {
		return
	}
	if o.Warning {
		w.containerEvent(c.Name, v1.EventTypeWarning, "ProbeWarning", fmt.Sprintf("%s probe warning: %s", key.kind, o.Message))
	}
	if !o.OK {
		w.containerEvent(c.Name, v1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %s", key.kind, o.Message))
	}
	if !o.Settled {
		return
	}
	result := plan.Failure
	if o.OK {
		result = plan.Success
	}
	results := w.probes[key.id]
	switch key.kind {
	case probe.Liveness:
		results.Liveness, results.LivenessMessage = result, o.Message
	case probe.Readiness:
		results.Readiness = result
	case probe.Startup:
		results.Startup, results.StartupMessage = result, o.Message
	}
	w.probes[key.id] = results
}

// seed takes what the API says about a container that was adopted, so that a restart of the daemon makes no pod unready
// until its probes have run again, and forgets no message.
func (w *Worker) seed(s *seen) {
	if s == nil || s.container == nil {
		return
	}
	c := s.container
	for _, list := range [][]v1.ContainerStatus{
		w.pod.Status.ContainerStatuses, w.pod.Status.InitContainerStatuses, w.pod.Status.EphemeralContainerStatuses,
	} {
		status, ok := podutil.GetContainerStatus(list, c.Name)
		if !ok {
			continue
		}
		for _, state := range []v1.ContainerState{status.State, status.LastTerminationState} {
			if t := state.Terminated; t != nil && t.ContainerID == plan.Runtime+c.ID && c.Message == "" {
				c.Message = t.Message
				c.OOMKilled = c.OOMKilled || t.Reason == "OOMKilled"
			}
		}
		if status.ContainerID != plan.Runtime+c.ID || c.State != plan.Running {
			continue
		}
		results := w.probes[c.ID]
		if status.Started != nil && *status.Started {
			results.Startup = plan.Success
		}
		if status.Ready {
			results.Readiness = plan.Success
		}
		w.probes[c.ID] = results
	}
}
