package pod

import (
	"context"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
)

// resizes compares what running containers have with what the pod asks for.
func (w *Worker) resizes() map[string]plan.Resize {
	var out map[string]plan.Resize
	for _, c := range w.containers {
		if c.State != plan.Running {
			continue
		}
		spec := containerSpec(w.pod, c.Name)
		if spec == nil {
			continue
		}
		has, wants := w.resources[c.ID], w.cfg.Spec.Resources(w.pod, spec)
		cpu := differs(wants.CPUShares, has.CPUShares) || differs(wants.CPUQuota, has.CPUQuota)
		memory := differs(wants.Memory, has.Memory)
		if !cpu && !memory {
			continue
		}
		if out == nil {
			out = map[string]plan.Resize{}
		}
		out[c.Name] = plan.Resize{Restart: cpu && restarts(spec, v1.ResourceCPU) || memory && restarts(spec, v1.ResourceMemory)}
	}
	return out
}

// differs leaves alone what isn't asked for: the engine takes zero for no change.
func differs(wants, has int64) bool { return wants != 0 && wants != has }

func restarts(c *v1.Container, name v1.ResourceName) bool {
	for _, p := range c.ResizePolicy {
		if p.ResourceName == name {
			return p.RestartPolicy == v1.RestartContainer
		}
	}
	return false
}

// resizeContainer gives a running container other resources.
func (w *Worker) resizeContainer(op plan.Op) job {
	c := containerSpec(w.pod, op.Container)
	has := w.resources[op.ID]
	return func(ctx context.Context) (func(), error) {
		if c == nil {
			return nil, nil
		}
		wants := w.cfg.Spec.Resources(w.current.Load(), c)
		change := docker.Resources{CPUShares: wants.CPUShares, CPUPeriod: wants.CPUPeriod, CPUQuota: wants.CPUQuota}
		if differs(wants.Memory, has.Memory) {
			change.Memory, change.MemorySwap = wants.Memory, wants.MemorySwap
		}
		if err := w.cfg.Engine.UpdateResources(ctx, op.ID, change); err != nil {
			return nil, err
		}
		return func() {
			w.resources[op.ID] = wants
			w.containerEvent(op.Container, v1.EventTypeNormal, "ResizeCompleted", "Container "+op.Container+" has the resources that the pod asks for")
		}, nil
	}
}
