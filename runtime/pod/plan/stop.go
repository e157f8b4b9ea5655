package plan

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

const (
	// defaultGrace is the API's default of terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second
	// forcedGrace is what is left of a pod that the API has already forgotten: kubelet's small grace period.
	forcedGrace = 2 * time.Second
)

// grace is how long the pod's containers may take to stop.
func (p *planner) grace() time.Duration {
	if s := p.spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(max(*s, 0)) * time.Second
	}
	return defaultGrace
}

// deletionDeadline is when a deleted pod has to be down. It comes from the API object, so that it survives the daemon; the
// grace period bounds it again, in case a clock jumped.
func (p *planner) deletionDeadline() time.Time {
	deadline := p.f.Pod.DeletionTimestamp.Time
	grace := p.grace()
	if s := p.f.Pod.DeletionGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	if latest := p.f.Now.Add(grace); deadline.After(latest) {
		return latest
	}
	return deadline
}

// terminate plans for a pod that is being deleted: out of the endpoints, containers down, sandbox and volumes removed, API
// object released.
func (p *planner) terminate() {
	p.cancelStarting()
	p.plan.Terminal = true
	if len(p.f.running()) > 0 && !p.f.EndpointsGone {
		p.do(Op{Kind: AwaitEndpoints, Cause: "Services must stop sending before the containers stop answering"})
		p.wait(Wait{Reason: "Draining", Message: "Services still send traffic to the pod"})
		return
	}
	if !p.stopAll(p.deletionDeadline(), false, "Deleted", "the pod is being deleted") {
		return
	}
	if p.settling() {
		return
	}
	sandboxGone := p.removeSandboxes("the pod is being deleted")
	containersGone := p.removeContainers("the pod is being deleted")
	if !sandboxGone {
		return
	}
	if !p.f.Finished {
		p.do(Op{Kind: Finish, Cause: "every container has stopped"})
	}
	if containersGone && p.removeVolumes() && p.f.Finished {
		p.plan.Done = true
	}
}

// cleanUp plans for what is left of a pod that the API doesn't have.
func (p *planner) cleanUp() {
	p.cancelStarting()
	p.plan.Terminal = true
	grace := min(p.grace(), forcedGrace)
	if !p.stopAll(p.f.Now.Add(grace), true, "Gone", "the API no longer has the pod") || p.settling() {
		return
	}
	sandboxGone := p.removeSandboxes("the API no longer has the pod")
	containersGone := p.removeContainers("the API no longer has the pod")
	if sandboxGone && containersGone && p.removeVolumes() {
		p.plan.Done = true
	}
}

const reclaimCause = "the disk of the node is short"

// retire stops what still runs of a pod that has ended, sidecars included. Its containers stay for their logs, unless what they
// have on the disk is needed.
func (p *planner) retire(reason, cause string) {
	p.cancelStarting()
	p.plan.Terminal = true
	deadline := p.f.Now.Add(p.grace())
	if v := p.plan.Verdict; v != nil && v.Immediate {
		deadline = p.f.Now
	}
	if !p.stopAll(deadline, false, reason, cause) || p.settling() {
		return
	}
	p.removeSandboxes(cause)
	// How they ended is in the API by then; their logs go with them.
	if p.f.Reclaim && podutil.IsPodPhaseTerminal(p.f.Pod.Status.Phase) && p.removeContainers(reclaimCause) {
		p.removeVolumes()
	}
}

// cancelStarting gives up what only makes sense for a pod that is to run.
func (p *planner) cancelStarting() {
	for _, kind := range []Kind{EnsureImage, PostStart, Source} {
		for key := range p.f.InFlight {
			if key.Kind == kind {
				p.plan.Cancel = append(p.plan.Cancel, key)
			}
		}
	}
	sortKeys(p.plan.Cancel)
}

func sortKeys(keys []Key) {
	for i := 1; i < len(keys); i++ {
		for j := i; j > 0 && keys[j].String() < keys[j-1].String(); j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
}

// settling reports whether something is in flight that could still leave a container or a sandbox behind.
func (p *planner) settling() bool {
	for _, kind := range []Kind{CreateSandbox, StartSandbox, PrepareSandbox, CreateContainer, StartContainer} {
		if p.inFlight(kind) {
			p.wait(Wait{Reason: "Settling", Message: fmt.Sprintf("%s has to end first", kind)})
			return true
		}
	}
	return false
}

// stopAll plans the stop of every running container: the regular and ephemeral ones together, then the sidecars, the last
// one first. As with kubelet, the sidecars' preStop hooks run while they wait for their turn, and one whose turn doesn't
// come before the deadline waits no longer. It reports whether all are down.
func (p *planner) stopAll(deadline time.Time, quiet bool, reason, cause string) bool {
	stop := func(c *Container) {
		p.do(Op{
			Kind: StopContainer, Container: c.Name, ID: c.ID, Deadline: deadline, Quiet: quiet,
			Reason: reason, Cause: cause,
		})
	}
	running := p.f.running()
	late := !p.f.Now.Before(deadline)
	var inTurn []*Container
	for _, c := range running {
		if p.sidecar(c.Name) >= 0 && !late {
			inTurn = append(inTurn, c)
			continue
		}
		stop(c)
	}
	slices.SortFunc(inTurn, func(a, b *Container) int { return p.sidecar(b.Name) - p.sidecar(a.Name) })
	for i, c := range inTurn {
		hooked := quiet || p.preStop(c, deadline)
		if i == 0 && hooked && len(inTurn) == len(running) {
			stop(c)
		}
		p.wake(deadline)
	}
	return len(running) == 0
}

// sidecar is the place of a restartable init container in the pod, -1 for all others.
func (p *planner) sidecar(name string) int {
	return slices.IndexFunc(p.spec.InitContainers, func(c v1.Container) bool {
		return c.Name == name && podutil.IsRestartableInitContainer(&c)
	})
}

// preStop plans the hook of a sidecar that waits for its turn and reports whether it is over. The others' hooks are a part
// of their stop.
func (p *planner) preStop(c *Container, deadline time.Time) bool {
	spec := &p.spec.InitContainers[p.sidecar(c.Name)]
	if spec.Lifecycle == nil || spec.Lifecycle.PreStop == nil || p.f.PreStopped[c.ID] {
		return true
	}
	p.do(Op{Kind: PreStop, Container: c.Name, ID: c.ID, Deadline: deadline, Cause: "the pod goes down"})
	return false
}

func (p *planner) removeSandboxes(cause string) bool {
	gone := true
	for i := range p.f.Sandboxes {
		if s := &p.f.Sandboxes[i]; s.State != Gone {
			gone = false
			p.do(Op{Kind: RemoveSandbox, ID: s.ID, Cause: cause})
		}
	}
	return gone
}

func (p *planner) removeContainers(cause string) bool {
	gone := true
	for i := range p.f.Containers {
		if c := &p.f.Containers[i]; c.State != Gone {
			gone = false
			p.do(Op{Kind: RemoveContainer, Container: c.Name, ID: c.ID, Cause: cause})
		}
	}
	return gone
}

func (p *planner) removeVolumes() bool {
	if !p.f.Volumes {
		return true
	}
	p.do(Op{Kind: RemoveVolumes, Cause: "the pod is gone"})
	return false
}
