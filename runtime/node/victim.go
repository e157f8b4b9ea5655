package node

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	"k8s.io/kubernetes/pkg/apis/scheduling"
)

// A candidate is a pod that could be evicted, and what it uses of what is short, in bytes.
type candidate struct {
	pod   *v1.Pod
	usage int64
}

func (c candidate) request(what v1.ResourceName) int64 {
	requests := resource.PodRequests(c.pod, resource.PodResourcesOptions{})
	asked := requests[what]
	return asked.Value()
}

func (c candidate) priority() int32 {
	if c.pod.Spec.Priority == nil {
		return 0
	}
	return *c.pod.Spec.Priority
}

// chooseVictim ranks as kubelet does: pods that use more of what is short than they asked for first, then those of lower priority, then those
// that exceed their request by most. QoS classes follow from that. Critical pods are spared.
func chooseVictim(list []candidate, what v1.ResourceName) *v1.Pod {
	list = slices.DeleteFunc(slices.Clone(list), func(c candidate) bool { return c.priority() >= scheduling.SystemCriticalPriority })
	if len(list) == 0 {
		return nil
	}
	first := slices.MinFunc(list, func(a, b candidate) int {
		overA, overB := a.usage-a.request(what), b.usage-b.request(what)
		if exceedsA, exceedsB := overA > 0, overB > 0; exceedsA != exceedsB {
			if exceedsA {
				return -1
			}
			return 1
		}
		if a.priority() != b.priority() {
			return int(a.priority()) - int(b.priority())
		}
		switch {
		case overA > overB:
			return -1
		case overA < overB:
			return 1
		}
		return 0
	})
	return first.pod
}
