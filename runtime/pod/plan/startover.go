package plan

import (
	"time"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// lastStartOver is when a container last ended in a way for which its restart rules say RestartAllContainers. The pod's
// containers are then all started anew in the same sandbox, init containers included. It is told from the ended container
// alone, so that a restarted daemon finishes what was begun.
func lastStartOver(f *Facts, spec *v1.PodSpec, sandbox *Sandbox) time.Time {
	var epoch time.Time
	for i := range f.Containers {
		c := &f.Containers[i]
		if c.Sandbox != sandbox.Attempt || c.State != Exited && c.State != Gone || f.RestartAfter[c.ID] {
			continue
		}
		for k := range podutil.ContainerIter(spec, podutil.InitContainers|podutil.Containers) {
			if k.Name != c.Name {
				continue
			}
			rule, ok := podutil.FindMatchingContainerRestartRule(*k, int32(c.ExitCode))
			if ok && rule.Action == v1.ContainerRestartRuleActionRestartAllContainers && c.ended().After(epoch) {
				epoch = c.ended()
			}
		}
	}
	return epoch
}

// stale reports whether a container is from before all were asked to start over.
func (p *planner) stale(c *Container) bool {
	return !p.epoch.IsZero() && !c.Created.After(p.epoch)
}

// startOver stops what still runs from before the last start-over; it reports whether there is something to wait for.
func (p *planner) startOver(sandbox *Sandbox) bool {
	p.epoch = lastStartOver(p.f, p.spec, sandbox)
	waiting := false
	for _, c := range p.f.running() {
		if p.stale(c) && c.Sandbox == sandbox.Attempt {
			waiting = true
			p.do(Op{
				Kind: StopContainer, Container: c.Name, ID: c.ID, Deadline: p.f.Now.Add(p.grace()),
				Reason: "RestartAllContainers", Cause: "all containers of the pod start over",
			})
		}
	}
	return waiting
}
