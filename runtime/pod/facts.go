package pod

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/pod/plan"
)

// facts collects what the planner needs.
func (w *Worker) facts(now time.Time) *plan.Facts {
	f := &plan.Facts{
		Now: now, Pod: w.pod, Gone: w.gone, Volumes: w.volumesExist, Sourced: w.content != nil, Stale: w.stale && w.content != nil,
		Images: map[string]plan.Image{}, Probes: w.probes, Hooks: w.hooks, PreStopped: w.preStopped, RestartAfter: w.again, Faults: w.faults,
		InFlight: map[plan.Key]plan.InFlight{}, EndpointsGone: w.endpointsGone || w.cfg.EndpointsSettled == nil,
		Reclaim: w.reclaim, Finished: w.finished, Verdict: w.verdict, Late: map[string]bool{}, HostIPs: w.cfg.HostIPs, Resize: w.resizes(),
	}
	for _, s := range w.sandboxes {
		sandbox := *s
		sandbox.Unwritten = w.content != nil && sandbox.Prepared && digest(w.content.Ops) != w.written
		f.Sandboxes = append(f.Sandboxes, sandbox)
	}
	for _, c := range w.containers {
		f.Containers = append(f.Containers, *c)
	}
	f.Sort()
	for name, e := range w.images {
		f.Images[name] = plan.Image{Attempt: e.attempt, ID: e.image.ID}
	}
	for key, fl := range w.flights {
		f.InFlight[key] = plan.InFlight{Since: fl.since, Deadline: fl.deadline}
	}
	w.eachContainer(func(c *v1.Container) {
		if w.cfg.Spec.NeedsSandboxUp(w.pod, c) {
			f.Late[c.Name] = true
		}
	})
	return f
}

// eachContainer visits every container of the spec.
func (w *Worker) eachContainer(visit func(*v1.Container)) {
	for i := range w.pod.Spec.InitContainers {
		visit(&w.pod.Spec.InitContainers[i])
	}
	for i := range w.pod.Spec.Containers {
		visit(&w.pod.Spec.Containers[i])
	}
	for i := range w.pod.Spec.EphemeralContainers {
		visit((*v1.Container)(&w.pod.Spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
}

// containerSpec finds a container of the spec by name, or nil.
func containerSpec(pod *v1.Pod, name string) *v1.Container {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return &pod.Spec.InitContainers[i]
		}
	}
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i]
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return (*v1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		}
	}
	return nil
}

// setPod takes a newer API object. The status that was written last may be newer than the one in it.
func (w *Worker) setPod(pod *v1.Pod) {
	if pod.UID != w.pod.UID || older(pod.ResourceVersion, w.pod.ResourceVersion) {
		return
	}
	w.stale = w.stale || metadataChanged(w.pod, pod)
	w.pod = pod.DeepCopy()
	w.current.Store(w.pod)
}
