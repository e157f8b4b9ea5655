package plan

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
)

// Runtime is the prefix of container ids in statuses.
const Runtime = "docker://"

// Status is the status that the API should show for the facts and the plan made from them. old is the status that was
// written last; what the node doesn't know any more is taken from there.
func Status(f *Facts, p *Plan, old *v1.PodStatus) v1.PodStatus {
	s := statusMaker{f: f, p: p, old: old, spec: &f.Pod.Spec, sandbox: f.sandbox()}
	out := *old.DeepCopy() // there are fields that others own
	out.Conditions, out.HostIP, out.HostIPs, out.PodIP, out.PodIPs = nil, "", nil, "", nil
	if out.StartTime == nil {
		now := metav1.NewTime(f.Now).Rfc3339Copy()
		out.StartTime = &now
	}
	if out.QOSClass == "" {
		out.QOSClass = qos.ComputePodQOS(f.Pod)
	}
	if f.Pod.Generation > 0 {
		out.ObservedGeneration = f.Pod.Generation
	}
	s.addresses(&out)
	out.InitContainerStatuses = s.containers(s.spec.InitContainers, old.InitContainerStatuses, true)
	out.ContainerStatuses = s.containers(s.spec.Containers, old.ContainerStatuses, false)
	out.EphemeralContainerStatuses = s.ephemeral(old.EphemeralContainerStatuses)
	s.phase(&out)
	s.readiness(&out)
	s.conditions(&out)
	return out
}

type statusMaker struct {
	f       *Facts
	p       *Plan
	old     *v1.PodStatus
	spec    *v1.PodSpec
	sandbox *Sandbox
}

func (s *statusMaker) addresses(out *v1.PodStatus) {
	if len(s.f.HostIPs) > 0 {
		out.HostIP = s.f.HostIPs[0]
		for _, ip := range s.f.HostIPs {
			out.HostIPs = append(out.HostIPs, v1.HostIP{IP: ip})
		}
	}
	ips := []string(nil)
	switch {
	case s.spec.HostNetwork && s.sandbox != nil && s.sandbox.State == Running:
		ips = s.f.HostIPs
	case s.sandbox != nil && s.sandbox.State == Running:
		ips = s.sandbox.IPs
	case s.p.Terminal || s.f.Pod.DeletionTimestamp != nil:
		// As with kubelet, a pod that has ended keeps the address it had.
		out.PodIP, out.PodIPs = s.old.PodIP, s.old.PodIPs
		return
	}
	for i, ip := range ips {
		if i == 0 {
			out.PodIP = ip
		}
		out.PodIPs = append(out.PodIPs, v1.PodIP{IP: ip})
	}
}

func (s *statusMaker) containers(specs []v1.Container, old []v1.ContainerStatus, init bool) []v1.ContainerStatus {
	out := make([]v1.ContainerStatus, 0, len(specs))
	for i := range specs {
		out = append(out, s.container(&specs[i], old, init))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (s *statusMaker) ephemeral(old []v1.ContainerStatus) []v1.ContainerStatus {
	var out []v1.ContainerStatus
	for i := range s.spec.EphemeralContainers {
		c := (*v1.Container)(&s.spec.EphemeralContainers[i].EphemeralContainerCommon)
		status := s.container(c, old, false)
		status.Started = nil
		out = append(out, status)
	}
	return out
}

// container is the status of one container, from its newest two incarnations and what the plan waits for.
func (s *statusMaker) container(c *v1.Container, olds []v1.ContainerStatus, init bool) v1.ContainerStatus {
	old, hadOld := podutil.GetContainerStatus(olds, c.Name)
	status := v1.ContainerStatus{Name: c.Name, Image: c.Image, VolumeMounts: mountStatuses(c)}
	history := s.f.history(c.Name)
	wait := s.waitOf(c.Name)
	if len(history) == 0 {
		s.unseen(c, &status, old, hadOld, init, wait)
		return status
	}
	latest := history[0]
	status.RestartCount = int32(latest.Attempt)
	status.ContainerID = Runtime + latest.ID
	if latest.Image != "" {
		status.Image = latest.Image
	}
	status.ImageID = latest.ImageID
	status.AllocatedResources = c.Resources.Requests.DeepCopy()
	status.Resources = c.Resources.DeepCopy()
	if _, resizing := s.f.Resize[c.Name]; resizing && old.Resources != nil {
		status.Resources = old.Resources.DeepCopy() // what it still has
	}
	status.State = s.state(latest)
	if status.State.Waiting != nil {
		status.State.Waiting.Reason = s.creating()
		if hadOld && latest.Attempt > 0 {
			status.ContainerID = old.ContainerID
		} else {
			status.ContainerID = ""
		}
	}
	if len(history) > 1 {
		status.LastTerminationState = s.state(history[1])
	} else if hadOld && latest.Attempt > 0 {
		status.LastTerminationState = old.LastTerminationState
		if old.ContainerID != status.ContainerID && old.State.Terminated != nil {
			status.LastTerminationState = old.State
		}
	}
	if status.LastTerminationState.Terminated == nil {
		status.LastTerminationState = v1.ContainerState{}
	}
	if wait != nil {
		if status.State.Terminated != nil {
			status.LastTerminationState = status.State
		}
		if status.State.Running == nil {
			status.State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: wait.Reason, Message: wait.Message}}
		}
	}
	return status
}

// unseen is the status of a container that the engine doesn't have: not made yet, or removed behind our back.
func (s *statusMaker) unseen(c *v1.Container, status *v1.ContainerStatus, old v1.ContainerStatus, hadOld, init bool, wait *Wait) {
	status.State.Waiting = &v1.ContainerStateWaiting{Reason: s.creating()}
	if wait != nil {
		status.State.Waiting = &v1.ContainerStateWaiting{Reason: wait.Reason, Message: wait.Message}
	}
	if !hadOld {
		return
	}
	status.RestartCount = old.RestartCount
	status.LastTerminationState = old.LastTerminationState
	// The id stays although the container went: it tells that there was one, which the next one is counted after.
	status.ContainerID, status.ImageID = old.ContainerID, old.ImageID
	switch {
	case old.State.Terminated != nil:
		*status = old
	case old.State.Running != nil:
		lost := &v1.ContainerStateTerminated{
			Reason: "ContainerStatusUnknown", ExitCode: 137, ContainerID: old.ContainerID,
			Message: "The container could not be located when the pod was terminated",
		}
		if s.p.Terminal {
			status.State = v1.ContainerState{Terminated: lost}
		} else {
			status.LastTerminationState = v1.ContainerState{Terminated: lost}
		}
	}
	if init && !podutil.IsRestartableInitContainer(c) && s.sandbox != nil && status.State.Waiting != nil && s.regularInSandbox() {
		status.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			Reason:  "Completed",
			Message: "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally",
		}}
	}
}

func (s *statusMaker) regularInSandbox() bool {
	p := planner{f: s.f, spec: s.spec, epoch: lastStartOver(s.f, s.spec, s.sandbox)}
	return p.regularSeen(s.sandbox)
}

func (s *statusMaker) creating() string {
	if len(s.spec.InitContainers) > 0 {
		return "PodInitializing"
	}
	return "ContainerCreating"
}

func (s *statusMaker) waitOf(name string) *Wait {
	for i := range s.p.Waits {
		if w := &s.p.Waits[i]; w.Visible && w.Container == name {
			return w
		}
	}
	return nil
}

func (s *statusMaker) state(c *Container) v1.ContainerState {
	switch {
	case c.State == Running:
		return v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(c.Started).Rfc3339Copy()}}
	case c.State == Created:
		return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{}}
	}
	t := &v1.ContainerStateTerminated{
		ExitCode: int32(c.ExitCode), Message: c.Message, ContainerID: Runtime + c.ID,
		StartedAt: metav1.NewTime(c.Started).Rfc3339Copy(), FinishedAt: metav1.NewTime(c.ended()).Rfc3339Copy(),
	}
	switch {
	case c.StartError != "":
		t.Reason, t.Message = "StartError", c.StartError
		t.StartedAt = metav1.Unix(0, 0)
	case c.OOMKilled:
		t.Reason = "OOMKilled"
	case c.ExitCode == 0:
		t.Reason = "Completed"
	default:
		t.Reason = "Error"
	}
	return v1.ContainerState{Terminated: t}
}

func mountStatuses(c *v1.Container) []v1.VolumeMountStatus {
	var out []v1.VolumeMountStatus
	for _, m := range c.VolumeMounts {
		status := v1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := v1.RecursiveReadOnlyDisabled
			if m.RecursiveReadOnly != nil && *m.RecursiveReadOnly == v1.RecursiveReadOnlyEnabled {
				mode = v1.RecursiveReadOnlyEnabled
			}
			status.RecursiveReadOnly = &mode
		}
		out = append(out, status)
	}
	return out
}

// readiness fills Started and Ready from hooks and probes.
func (s *statusMaker) readiness(out *v1.PodStatus) {
	for i := range out.ContainerStatuses {
		s.containerReadiness(&s.spec.Containers[i], &out.ContainerStatuses[i])
	}
	for i := range out.InitContainerStatuses {
		c, status := &s.spec.InitContainers[i], &out.InitContainerStatuses[i]
		s.containerReadiness(c, status)
		if !podutil.IsRestartableInitContainer(c) {
			status.Ready = status.State.Terminated != nil && status.State.Terminated.ExitCode == 0
		}
	}
}

func (s *statusMaker) containerReadiness(c *v1.Container, status *v1.ContainerStatus) {
	started, ready := false, false
	if latest := s.f.latest(c.Name); latest != nil && latest.State == Running && status.State.Running != nil {
		hook := s.f.Hooks[latest.ID]
		probes := s.f.Probes[latest.ID]
		started = hook != HookPending && hook != HookFailed && (c.StartupProbe == nil || probes.Startup == Success)
		ready = started && (c.ReadinessProbe == nil || probes.Readiness == Success)
	}
	status.Started, status.Ready = &started, ready
}

// kubeletConditions are the conditions that the node owns; others in the status belong to whoever wrote them.
var kubeletConditions = []v1.PodConditionType{
	v1.PodScheduled, v1.PodReady, v1.PodInitialized, v1.ContainersReady, v1.PodReadyToStartContainers,
	v1.PodResizeInProgress, v1.PodResizePending, v1.AllContainersRestarting,
}

func ownCondition(t v1.PodConditionType) bool { return slices.Contains(kubeletConditions, t) }
