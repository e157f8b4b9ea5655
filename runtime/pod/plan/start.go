package plan

import (
	"fmt"
	"hash/fnv"
	"time"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// Hash identifies what a container was made from. As in kubelet only the name and the image count: nothing else of a
// running container's spec can change, except resources, which are updated in place.
func Hash(c *v1.Container) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q", c.Name, c.Image)
	return fmt.Sprintf("%016x", h.Sum64())
}

// nextAttempt is the restart count of the container that would be made now.
func (p *planner) nextAttempt(name string) int {
	attempt := 0
	if latest := p.f.latest(name); latest != nil {
		attempt = latest.Attempt + 1
	}
	// The engine's containers may have been removed behind our back: the API remembers how many there were.
	for _, list := range [][]v1.ContainerStatus{p.f.Pod.Status.ContainerStatuses, p.f.Pod.Status.InitContainerStatuses} {
		if status, ok := podutil.GetContainerStatus(list, name); ok && p.f.latest(name) == nil && status.ContainerID != "" {
			attempt = max(attempt, int(status.RestartCount)+1)
		}
	}
	return attempt
}

// ensureImage plans the check for a container's image and reports whether it is there.
func (p *planner) ensureImage(c *v1.Container) bool {
	attempt := p.nextAttempt(c.Name)
	if image, ok := p.f.Images[c.Name]; ok && image.Attempt == attempt {
		return true
	}
	p.do(Op{Kind: EnsureImage, Container: c.Name, Attempt: attempt, Cause: "the container is to be created"})
	return false
}

// start plans the next step towards a running container: image, creation, start. The sandbox may still be starting: only
// the last step needs it. hold keeps it from being started, not from being created.
func (p *planner) start(c *v1.Container, sandbox *Sandbox, hold bool, cause string) {
	latest := p.f.latest(c.Name)
	if latest != nil && latest.State == Created && latest.Sandbox == sandbox.Attempt {
		p.startCreated(c, latest, sandbox, hold, cause)
		return
	}
	if latest != nil && latest.State == Created {
		// Made for a sandbox that never came up.
		p.do(Op{Kind: RemoveContainer, Container: c.Name, ID: latest.ID, Cause: "it was made for an earlier sandbox"})
		return
	}
	var backoff time.Duration
	if latest != nil {
		at, remember := restart(latest, Hash(c))
		backoff = remember
		if p.f.Now.Before(at) {
			p.wait(Wait{
				Container: c.Name, Reason: "CrashLoopBackOff", Until: at, Visible: true,
				Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
					latest.Backoff, c.Name, p.f.Pod.Name, p.f.Pod.Namespace, p.f.Pod.UID),
			})
			return
		}
	}
	if !p.ensureImage(c) || !p.f.Sourced {
		return
	}
	if p.f.Late[c.Name] && (sandbox.State != Running || !sandbox.Prepared) {
		return
	}
	p.do(Op{
		Kind: CreateContainer, Container: c.Name, Attempt: p.nextAttempt(c.Name), Sandbox: sandbox.ID,
		SandboxAttempt: sandbox.Attempt, Backoff: backoff, Cause: cause,
	})
}

func (p *planner) startCreated(c *v1.Container, created *Container, sandbox *Sandbox, hold bool, cause string) {
	if hold || sandbox.State != Running || !sandbox.Prepared {
		return
	}
	p.do(Op{Kind: StartContainer, Container: c.Name, ID: created.ID, Attempt: created.Attempt, Sandbox: sandbox.ID, Cause: cause})
}

// startEphemeral starts debugging containers, whatever the state of the others. They are never restarted.
func (p *planner) startEphemeral(sandbox *Sandbox) {
	for i := range p.spec.EphemeralContainers {
		c := (*v1.Container)(&p.spec.EphemeralContainers[i].EphemeralContainerCommon)
		latest := p.f.latest(c.Name)
		if latest != nil && latest.State != Created {
			continue
		}
		if status, ok := podutil.GetContainerStatus(p.f.Pod.Status.EphemeralContainerStatuses, c.Name); ok && latest == nil && status.ContainerID != "" {
			continue
		}
		if target := p.spec.EphemeralContainers[i].TargetContainerName; target != "" {
			if t := p.f.latest(target); t == nil || t.State != Running {
				p.wait(Wait{Container: c.Name, Reason: "ContainerCreating", Message: fmt.Sprintf("its target container %q doesn't run", target), Visible: true})
				continue
			}
		}
		p.start(c, sandbox, false, "an ephemeral container was added")
	}
}

// postStart plans a running container's hook and reports whether the container counts as started.
func (p *planner) postStart(c *v1.Container, running *Container) bool {
	if c.Lifecycle == nil || c.Lifecycle.PostStart == nil {
		return true
	}
	switch p.f.Hooks[running.ID] {
	case HookPending:
		p.do(Op{Kind: PostStart, Container: c.Name, ID: running.ID, Cause: "the container has started"})
		return false
	case HookFailed:
		return false
	}
	return true
}

// started reports whether a running container has passed its hook and its startup probe.
func (p *planner) started(c *v1.Container, running *Container) bool {
	if !p.postStart(c, running) {
		return false
	}
	return c.StartupProbe == nil || p.f.Probes[running.ID].Startup == Success
}

// unfit says why a running container has to be stopped, or returns an empty reason.
func (p *planner) unfit(c *v1.Container, running *Container) (reason, cause string, always bool) {
	probes := p.f.Probes[running.ID]
	switch {
	case running.Hash != Hash(c):
		return "Changed", fmt.Sprintf("Container %s definition changed", c.Name), true
	case p.f.Hooks[running.ID] == HookFailed:
		return "FailedPostStartHook", "FailedPostStartHook", false
	case c.LivenessProbe != nil && probes.Liveness == Failure:
		return "Liveness", fmt.Sprintf("Container %s failed liveness probe", c.Name), false
	case c.StartupProbe != nil && probes.Startup == Failure:
		return "Startup", fmt.Sprintf("Container %s failed startup probe", c.Name), false
	case p.f.Resize[c.Name].Restart:
		return "Resize", fmt.Sprintf("Container %s resize requires restart", c.Name), true
	}
	return "", "", false
}

// stopUnfit plans to stop a running container that must not go on. Its restart follows from its end.
func (p *planner) stopUnfit(c *v1.Container, running *Container) bool {
	reason, cause, always := p.unfit(c, running)
	if reason == "" {
		if _, ok := p.f.Resize[c.Name]; ok {
			p.do(Op{Kind: ResizeContainer, Container: c.Name, ID: running.ID, Cause: "the pod asks for other resources"})
		}
		return false
	}
	restarts := always || p.spec.RestartPolicy != v1.RestartPolicyNever
	if c.RestartPolicy != nil {
		restarts = always || *c.RestartPolicy != v1.ContainerRestartPolicyNever
	}
	if restarts {
		cause += ", will be restarted"
	}
	grace := p.grace()
	switch {
	case reason == "Liveness" && c.LivenessProbe.TerminationGracePeriodSeconds != nil:
		grace = time.Duration(*c.LivenessProbe.TerminationGracePeriodSeconds) * time.Second
	case reason == "Startup" && c.StartupProbe.TerminationGracePeriodSeconds != nil:
		grace = time.Duration(*c.StartupProbe.TerminationGracePeriodSeconds) * time.Second
	}
	p.do(Op{Kind: StopContainer, Container: c.Name, ID: running.ID, Deadline: p.f.Now.Add(grace), Reason: reason, Cause: cause})
	return true
}

// shouldRestart applies the restart policies to a container that has ended.
func (p *planner) shouldRestart(c *v1.Container, ended *Container) bool {
	return p.f.RestartAfter[ended.ID] || podutil.ContainerShouldRestart(*c, *p.spec, int32(ended.ExitCode))
}

// keepRunning plans for the pod's regular containers, once it is initialized.
func (p *planner) keepRunning(sandbox *Sandbox) {
	alive, hold := 0, false
	for i := range p.spec.Containers {
		c := &p.spec.Containers[i]
		latest := p.f.latest(c.Name)
		switch {
		case latest == nil:
			alive++
			p.start(c, sandbox, hold, "the container has never run")
		case latest.State == Created:
			alive++
			p.start(c, sandbox, hold, "the container was created")
		case p.stale(latest):
			alive++
			p.start(c, sandbox, hold, "all containers of the pod start over")
		case latest.State == Running:
			alive++
			if !p.stopUnfit(c, latest) && !p.postStart(c, latest) {
				// As with kubelet, the next container starts when the hook of the one before has ended.
				hold = true
			}
		case p.shouldRestart(c, latest):
			alive++
			p.start(c, sandbox, hold, fmt.Sprintf("the container ended with exit code %d", latest.ExitCode))
		}
	}
	if alive == 0 {
		p.retire("Completed", "every container has ended")
	}
}
