package plan

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// initialize plans for the init containers and reports whether the regular ones may start. Those of a former sandbox don't
// count: a rebuilt pod runs its init containers again.
func (p *planner) initialize(sandbox *Sandbox) bool {
	inits := p.spec.InitContainers
	if len(inits) == 0 {
		return true
	}
	if p.regularSeen(sandbox) {
		p.keepSidecars(sandbox)
		return true
	}
	for i := range inits {
		c := &inits[i]
		latest := p.current(c.Name, sandbox)
		if podutil.IsRestartableInitContainer(c) {
			if !p.sidecarUp(c, latest, sandbox) {
				return false
			}
			continue
		}
		switch {
		case latest == nil:
			p.start(c, sandbox, false, "the init container is next")
			return false
		case latest.State == Created:
			p.start(c, sandbox, false, "the container was created")
			return false
		case latest.State == Running:
			return false
		case latest.ExitCode != 0 || latest.StartError != "":
			if !p.shouldRestart(c, latest) {
				p.retire("InitFailed", fmt.Sprintf("init container %s failed with exit code %d", c.Name, latest.ExitCode))
				return false
			}
			p.start(c, sandbox, false, fmt.Sprintf("the init container failed with exit code %d", latest.ExitCode))
			return false
		}
	}
	return true
}

// current is the newest container of a name that belongs to the sandbox.
func (p *planner) current(name string, sandbox *Sandbox) *Container {
	if latest := p.f.latest(name); latest != nil && latest.Sandbox == sandbox.Attempt && !p.stale(latest) {
		return latest
	}
	return nil
}

// regularSeen reports whether a regular container was made in this sandbox: then all init containers have run, even when
// the engine no longer has them.
func (p *planner) regularSeen(sandbox *Sandbox) bool {
	for i := range p.spec.Containers {
		if p.current(p.spec.Containers[i].Name, sandbox) != nil {
			return true
		}
	}
	return false
}

// sidecarUp plans for a restartable init container and reports whether the next one may start.
func (p *planner) sidecarUp(c *v1.Container, latest *Container, sandbox *Sandbox) bool {
	switch {
	case latest == nil:
		p.start(c, sandbox, false, "the sidecar is next")
	case latest.State == Created:
		p.start(c, sandbox, false, "the container was created")
	case latest.State == Running:
		return !p.stopUnfit(c, latest) && p.started(c, latest)
	default:
		p.start(c, sandbox, false, fmt.Sprintf("the sidecar ended with exit code %d", latest.ExitCode))
	}
	return false
}

// keepSidecars restarts sidecars for as long as a regular container has something to do.
func (p *planner) keepSidecars(sandbox *Sandbox) {
	if p.nothingToStart() {
		return
	}
	for i := range p.spec.InitContainers {
		if c := &p.spec.InitContainers[i]; podutil.IsRestartableInitContainer(c) {
			p.sidecarUp(c, p.current(c.Name, sandbox), sandbox)
		}
	}
}
