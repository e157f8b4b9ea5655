package plan

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// Compute makes the plan for a pod. The same facts always give the same plan.
func Compute(f *Facts) Plan {
	p := &planner{f: f, spec: &f.Pod.Spec}
	p.plan.Verdict = f.Verdict
	switch {
	case f.Gone:
		p.cleanUp()
	case f.Pod.DeletionTimestamp != nil:
		p.terminate()
	case podutil.IsPodPhaseTerminal(f.Pod.Status.Phase) || f.Verdict != nil || p.deadlineExceeded():
		p.retire("Finished", "the pod has ended")
	default:
		p.live()
	}
	return p.plan
}

type planner struct {
	f    *Facts
	spec *v1.PodSpec
	plan Plan
	// epoch is when all containers were last asked to start over; older ones don't count.
	epoch time.Time
	// busy: something that has to end first is in flight or was just planned.
	busy bool
}

// do plans an operation unless it is in flight or has to wait after a failure. It reports whether it is or was planned.
func (p *planner) do(op Op) bool {
	key := op.Key()
	if running, ok := p.f.InFlight[key]; ok {
		p.busy = true
		if op.Kind == StopContainer && op.Deadline.Add(time.Second).Before(running.Deadline) {
			p.plan.Hurry = append(p.plan.Hurry, op)
		}
		return true
	}
	if fault, ok := p.f.Faults[key]; ok {
		at := fault.At.Add(retry(op.Kind, fault.Count))
		if p.f.Now.Before(at) {
			p.waitAfter(op, fault, at)
			return false
		}
	}
	p.busy = true
	p.plan.Ops = append(p.plan.Ops, op)
	return true
}

// waitAfter explains the pause after a failure; for a container's own operations it becomes its waiting state.
func (p *planner) waitAfter(op Op, fault Fault, at time.Time) {
	w := Wait{Container: op.Container, Reason: fault.Reason, Message: fault.Message, Until: at}
	switch op.Kind {
	case EnsureImage:
		w.Visible = true
		if shown := fault.At.Add(shownAsError); p.f.Now.Before(shown) {
			p.wake(shown)
		} else if fault.Reason == "ErrImagePull" {
			w.Reason = "ImagePullBackOff"
			w.Message = fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", p.imageOf(op.Container), fault.Message)
		}
	case CreateContainer, StartContainer:
		w.Visible = true
	}
	p.wait(w)
}

func (p *planner) imageOf(name string) string {
	for c := range podutil.ContainerIter(p.spec, podutil.AllContainers) {
		if c.Name == name {
			return c.Image
		}
	}
	return ""
}

func (p *planner) wait(w Wait) {
	p.plan.Waits = append(p.plan.Waits, w)
	p.wake(w.Until)
}

func (p *planner) wake(at time.Time) {
	if !at.IsZero() && (p.plan.Wake.IsZero() || at.Before(p.plan.Wake)) {
		p.plan.Wake = at
	}
}

func (p *planner) inFlight(kind Kind) bool {
	for key := range p.f.InFlight {
		if key.Kind == kind {
			return true
		}
	}
	return false
}

// deadlineExceeded applies activeDeadlineSeconds.
func (p *planner) deadlineExceeded() bool {
	seconds := p.spec.ActiveDeadlineSeconds
	if seconds == nil || p.f.Pod.Status.StartTime == nil {
		return false
	}
	at := p.f.Pod.Status.StartTime.Add(time.Duration(*seconds) * time.Second)
	if p.f.Now.Before(at) {
		p.wake(at)
		return false
	}
	p.plan.Verdict = &Verdict{
		Reason: "DeadlineExceeded", Message: "Pod was active on the node longer than the specified deadline",
	}
	return true
}

// live plans for a pod that should run.
func (p *planner) live() {
	sandbox, ok := p.sandboxUp()
	if !ok {
		return
	}
	p.collect()
	if p.startOver(sandbox) {
		return
	}
	p.startEphemeral(sandbox)
	initialized := p.initialize(sandbox)
	if p.plan.Terminal || !initialized {
		return
	}
	p.keepRunning(sandbox)
}

// sandboxUp plans the way to a running, prepared sandbox. It returns false while nothing can be planned for containers.
func (p *planner) sandboxUp() (*Sandbox, bool) {
	f := p.f
	sandbox := f.sandbox()
	if sandbox == nil || sandbox.State == Exited {
		return nil, p.rebuild(sandbox)
	}
	for i := range f.Sandboxes {
		if old := &f.Sandboxes[i]; old.State != Gone && old.Attempt < sandbox.Attempt {
			p.do(Op{Kind: RemoveSandbox, ID: old.ID, Cause: "a newer sandbox exists"})
		}
	}
	switch {
	case !f.Sourced:
		p.do(Op{Kind: Source, Cause: "volumes need their content"})
	case f.Stale:
		p.do(Op{Kind: Source, Cause: "what the volumes show may have changed"})
	}
	switch {
	case sandbox.State == Created:
		p.do(Op{Kind: StartSandbox, ID: sandbox.ID, Cause: "the sandbox was created"})
	case !sandbox.Prepared && f.Sourced:
		p.do(Op{Kind: PrepareSandbox, ID: sandbox.ID, Cause: "volumes are to be filled"})
	case sandbox.Unwritten:
		p.do(Op{Kind: PrepareSandbox, ID: sandbox.ID, Cause: "volumes have new content"})
	}
	return sandbox, true
}

// rebuild replaces a sandbox that is missing or dead. Containers that joined a dead one have lost their network, so the
// whole pod starts over.
func (p *planner) rebuild(dead *Sandbox) bool {
	f := p.f
	for _, c := range f.running() {
		p.do(Op{
			Kind: StopContainer, Container: c.Name, ID: c.ID, Deadline: f.Now, Quiet: true,
			Reason: "SandboxChanged", Cause: "the pod's sandbox is gone, its containers have lost their network",
		})
	}
	if p.busy {
		return false
	}
	if dead != nil {
		p.do(Op{Kind: RemoveSandbox, ID: dead.ID, Cause: "the sandbox has died"})
		return false
	}
	if p.spec.RestartPolicy == v1.RestartPolicyNever && len(f.Containers) > 0 || len(f.Containers) > 0 && p.nothingToStart() {
		p.plan.Terminal = true
		return false
	}
	if !f.Sourced {
		p.do(Op{Kind: Source, Cause: "volumes need their content"})
	}
	p.do(Op{Kind: CreateSandbox, Attempt: f.lastSandboxAttempt() + 1, Cause: "the pod has no sandbox"})
	p.prefetch()
	return false
}

// nothingToStart reports that every container has ended in a way that its restart policy accepts.
func (p *planner) nothingToStart() bool {
	for i := range p.spec.Containers {
		c := &p.spec.Containers[i]
		latest := p.f.latest(c.Name)
		if latest == nil || (latest.State != Exited && latest.State != Gone) || p.stale(latest) {
			return false
		}
		if podutil.ContainerShouldRestart(*c, *p.spec, int32(latest.ExitCode)) {
			return false
		}
	}
	return true
}

// prefetch looks for the images of the containers that come first while the sandbox is being made.
func (p *planner) prefetch() {
	if len(p.spec.InitContainers) > 0 {
		p.ensureImage(&p.spec.InitContainers[0])
		return
	}
	for i := range p.spec.Containers {
		p.ensureImage(&p.spec.Containers[i])
	}
}

// collect removes dead containers: as with kubelet, one is kept beside the current one, for `logs --previous`.
func (p *planner) collect() {
	keep, cause := 2, "only one ended container is kept"
	if p.f.Reclaim {
		keep, cause = 1, reclaimCause
	}
	seen := map[string]bool{}
	for i := range p.f.Containers {
		name := p.f.Containers[i].Name
		if seen[name] {
			continue
		}
		seen[name] = true
		for n, c := range p.f.history(name) {
			if n >= keep && c.State == Exited {
				p.do(Op{Kind: RemoveContainer, ID: c.ID, Container: c.Name, Cause: cause})
			}
		}
	}
	p.busy = false
}
