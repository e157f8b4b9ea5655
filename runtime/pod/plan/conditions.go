package plan

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// The reasons of conditions, as kubelet words them.
const (
	podCompleted             = "PodCompleted"
	podFailed                = "PodFailed"
	containersNotReady       = "ContainersNotReady"
	containersNotInitialized = "ContainersNotInitialized"
	readinessGatesNotReady   = "ReadinessGatesNotReady"
)

// conditions adds kubelet's conditions and keeps those of others.
func (s *statusMaker) conditions(out *v1.PodStatus) {
	// The API object may have conditions that others wrote since the last status of ours: it is the newer source.
	for _, c := range s.f.Pod.Status.Conditions {
		if !ownCondition(c.Type) {
			out.Conditions = append(out.Conditions, c)
		}
	}
	if v := s.p.Verdict; v != nil && v.Disruption != "" {
		s.set(out, v1.PodCondition{Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v.Disruption, Message: v.Message})
	}
	s.resizing(out)
	s.startingOver(out)
	s.set(out, v1.PodCondition{Type: v1.PodReadyToStartContainers, Status: truth(s.sandbox != nil && s.sandbox.State == Running)})
	s.set(out, s.initialized(out))
	ready := s.containersReady(out)
	podReady := ready
	podReady.Type = v1.PodReady
	if podReady.Status == v1.ConditionTrue {
		podReady = s.gates(out)
	}
	s.set(out, podReady)
	s.set(out, ready)
	s.set(out, v1.PodCondition{Type: v1.PodScheduled, Status: v1.ConditionTrue})
}

// set adds a condition, with the transition time of the old one if the status is the same.
func (s *statusMaker) set(out *v1.PodStatus, c v1.PodCondition) {
	c.LastTransitionTime = metav1.NewTime(s.f.Now).Rfc3339Copy()
	c.ObservedGeneration = podutil.CalculatePodConditionObservedGeneration(s.old, s.f.Pod.Generation, c.Type)
	for _, list := range [][]v1.PodCondition{s.old.Conditions, s.f.Pod.Status.Conditions} {
		if _, old := podutil.GetPodConditionFromList(list, c.Type); old != nil {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			c.LastProbeTime = old.LastProbeTime
			break
		}
	}
	if i, _ := podutil.GetPodConditionFromList(out.Conditions, c.Type); i >= 0 {
		out.Conditions[i] = c
		return
	}
	out.Conditions = append(out.Conditions, c)
}

func truth(ok bool) v1.ConditionStatus {
	if ok {
		return v1.ConditionTrue
	}
	return v1.ConditionFalse
}

func (s *statusMaker) initialized(out *v1.PodStatus) v1.PodCondition {
	cond := v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue}
	if out.Phase == v1.PodSucceeded {
		cond.Reason = podCompleted
		return cond
	}
	for _, status := range out.ContainerStatuses {
		if status.State.Running != nil || status.State.Terminated != nil {
			return cond
		}
	}
	var incomplete []string
	for i := range s.spec.InitContainers {
		c, status := &s.spec.InitContainers[i], &out.InitContainerStatuses[i]
		done := status.Ready
		if podutil.IsRestartableInitContainer(c) {
			done = status.Started != nil && *status.Started
		}
		if !done {
			incomplete = append(incomplete, c.Name)
		}
	}
	if len(incomplete) > 0 {
		cond.Status, cond.Reason = v1.ConditionFalse, containersNotInitialized
		cond.Message = fmt.Sprintf("containers with incomplete status: %s", incomplete)
	}
	return cond
}

func (s *statusMaker) containersReady(out *v1.PodStatus) v1.PodCondition {
	cond := v1.PodCondition{Type: v1.ContainersReady, Status: v1.ConditionFalse}
	switch out.Phase {
	case v1.PodSucceeded:
		cond.Reason = podCompleted
		return cond
	case v1.PodFailed:
		cond.Reason = podFailed
		return cond
	}
	var unready []string
	for i := range s.spec.InitContainers {
		if podutil.IsRestartableInitContainer(&s.spec.InitContainers[i]) && !out.InitContainerStatuses[i].Ready {
			unready = append(unready, s.spec.InitContainers[i].Name)
		}
	}
	for i := range s.spec.Containers {
		if !out.ContainerStatuses[i].Ready {
			unready = append(unready, s.spec.Containers[i].Name)
		}
	}
	if len(unready) > 0 {
		cond.Reason = containersNotReady
		cond.Message = fmt.Sprintf("containers with unready status: %s", unready)
		return cond
	}
	cond.Status = v1.ConditionTrue
	return cond
}

// resizing shows that resources have not reached every container yet, and why.
func (s *statusMaker) resizing(out *v1.PodStatus) {
	if len(s.f.Resize) == 0 || s.p.Terminal {
		return
	}
	cond := v1.PodCondition{Type: v1.PodResizeInProgress, Status: v1.ConditionTrue}
	for key, fault := range s.f.Faults {
		if key.Kind == ResizeContainer {
			cond.Reason, cond.Message = v1.PodReasonError, fault.Message
		}
	}
	s.set(out, cond)
}

// startingOver shows whether a restart rule is having all containers started anew.
func (s *statusMaker) startingOver(out *v1.PodStatus) {
	if !podutil.AllContainersCouldRestart(s.spec) {
		return
	}
	cond := v1.PodCondition{Type: v1.AllContainersRestarting, Status: v1.ConditionFalse}
	p := s.startOver()
	for _, c := range s.f.running() {
		if p.stale(c) {
			cond.Status, cond.Reason, cond.Message = v1.ConditionTrue, "RestartAllContainersStarted", "container exited with restart policy rule"
		}
	}
	s.set(out, cond)
}

// startOver is a planner that knows when all containers were last asked to start over.
func (s *statusMaker) startOver() *planner {
	p := &planner{f: s.f, spec: s.spec}
	if s.sandbox != nil && !s.p.Terminal {
		p.epoch = lastStartOver(s.f, s.spec, s.sandbox)
	}
	return p
}

// gates is the Ready condition of a pod whose containers are ready.
func (s *statusMaker) gates(out *v1.PodStatus) v1.PodCondition {
	var missing []string
	for _, gate := range s.spec.ReadinessGates {
		_, c := podutil.GetPodConditionFromList(out.Conditions, gate.ConditionType)
		switch {
		case c == nil:
			missing = append(missing, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case c.Status != v1.ConditionTrue:
			missing = append(missing, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, c.Status))
		}
	}
	if len(missing) > 0 {
		return v1.PodCondition{
			Type: v1.PodReady, Status: v1.ConditionFalse, Reason: readinessGatesNotReady, Message: strings.Join(missing, ", "),
		}
	}
	return v1.PodCondition{Type: v1.PodReady, Status: v1.ConditionTrue}
}
