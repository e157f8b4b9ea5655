package plan

import (
	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// phase applies kubelet's getPhase.
func (s *statusMaker) phase(out *v1.PodStatus) {
	out.Phase = s.computePhase(out)
	switch {
	case s.p.Verdict != nil:
		out.Phase, out.Reason, out.Message = v1.PodFailed, s.p.Verdict.Reason, s.p.Verdict.Message
	case podutil.IsPodPhaseTerminal(s.old.Phase):
		out.Phase = s.old.Phase // there is no way back
	}
}

func (s *statusMaker) computePhase(out *v1.PodStatus) v1.PodPhase {
	t := tally{spec: s.spec}
	for i := range s.spec.InitContainers {
		if c := &s.spec.InitContainers[i]; !s.startsAgain(c.Name) {
			t.init(c, &out.InitContainerStatuses[i], s.containerStarted(c))
		}
	}
	for i := range s.spec.Containers {
		if c := &s.spec.Containers[i]; s.startsAgain(c.Name) {
			t.stopped++ // and not for good, whatever its restart policy says
		} else {
			t.regular(c, &out.ContainerStatuses[i])
		}
	}
	initialized := s.sandbox != nil && s.regularInSandbox()
	stoppedForGood := s.f.Pod.DeletionTimestamp != nil && len(s.f.running()) == 0
	return t.phase(initialized, stoppedForGood)
}

// startsAgain reports whether a container has ended and is to start anew because all containers are.
func (s *statusMaker) startsAgain(name string) bool {
	latest := s.f.latest(name)
	return latest != nil && latest.State != Running && s.startOver().stale(latest)
}

func (s *statusMaker) containerStarted(c *v1.Container) bool {
	latest := s.f.latest(c.Name)
	return latest != nil && latest.State == Running && (c.StartupProbe == nil || s.f.Probes[latest.ID].Startup == Success)
}

// tally counts containers by what they mean for the phase.
type tally struct {
	spec                                                 *v1.PodSpec
	pendingInit, pendingSidecars, failedForGood          int
	running, waiting, stopped, stoppedForGood, succeeded int
}

func (t *tally) init(c *v1.Container, status *v1.ContainerStatus, started bool) {
	sidecar := podutil.IsRestartableInitContainer(c)
	ended := status.State.Terminated
	if status.State.Waiting != nil {
		ended = status.LastTerminationState.Terminated
	}
	switch {
	case sidecar && status.State.Running != nil:
		if !started {
			t.pendingSidecars++
		}
		t.running++
	case sidecar && ended == nil:
		t.pendingSidecars++
		t.waiting++
	case sidecar:
	case ended == nil:
		t.pendingInit++
	case ended.ExitCode != 0 && !podutil.ContainerShouldRestart(*c, *t.spec, ended.ExitCode):
		t.failedForGood++
	case ended.ExitCode != 0:
		t.pendingInit++
	}
}

func (t *tally) regular(c *v1.Container, status *v1.ContainerStatus) {
	switch {
	case status.State.Running != nil:
		t.running++
	case status.State.Terminated != nil:
		t.stop(c, status.State.Terminated.ExitCode)
		if status.State.Terminated.ExitCode == 0 {
			t.succeeded++
		}
	case status.LastTerminationState.Terminated != nil:
		t.stop(c, status.LastTerminationState.Terminated.ExitCode)
	default:
		t.waiting++
	}
}

func (t *tally) stop(c *v1.Container, code int32) {
	t.stopped++
	if !podutil.ContainerShouldRestart(*c, *t.spec, code) {
		t.stoppedForGood++
	}
}

// phase: initialized says that regular containers were made in this sandbox, over that nothing will be started any more.
func (t *tally) phase(initialized, over bool) v1.PodPhase {
	switch {
	case t.failedForGood > 0:
		return v1.PodFailed
	case t.pendingInit > 0, t.pendingSidecars > 0 && !initialized, t.waiting > 0:
		return v1.PodPending
	case t.running > 0:
		return v1.PodRunning
	case t.stopped == 0:
		return v1.PodPending
	case over && t.stopped == t.succeeded:
		return v1.PodSucceeded
	case over:
		return v1.PodFailed
	case t.stopped != t.stoppedForGood:
		return v1.PodRunning
	case t.stopped == t.succeeded:
		return v1.PodSucceeded
	}
	return v1.PodFailed
}
