package spec

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	"k8s.io/kubernetes/pkg/apis/scheduling"

	"skiff.local/skiff/runtime/docker"
)

// How kubelet turns quantities into cgroup settings.
const (
	minShares     = 2
	sharesPerCPU  = 1024
	milliPerCPU   = 1000
	quotaPeriod   = 100000 // microseconds
	minQuota      = 1000
	guaranteedOOM = -997
	bestEffortOOM = 1000
)

// Resources are the cgroup settings of a container. What the engine can't limit is left out, as it would leave it out itself:
// else a running container would seem to need a resize for good. Unenforced says what that is.
func (c *Config) Resources(pod *v1.Pod, container *v1.Container) docker.Resources {
	requests, limits := container.Resources.Requests, container.Resources.Limits
	out := docker.Resources{CgroupParent: c.cgroupParent(pod)}
	cpu := requests.Cpu().MilliValue()
	if _, ok := requests[v1.ResourceCPU]; !ok {
		cpu = limits.Cpu().MilliValue()
	}
	out.CPUShares = max(cpu*sharesPerCPU/milliPerCPU, minShares)
	limit := limits.Cpu().MilliValue()
	memory := limits.Memory().Value()
	if pod.Spec.Resources != nil {
		// The engine has no cgroup for a whole pod: a pod's limit bounds each of its containers.
		if limit == 0 {
			limit = pod.Spec.Resources.Limits.Cpu().MilliValue()
		}
		if memory == 0 {
			memory = pod.Spec.Resources.Limits.Memory().Value()
		}
	}
	if !c.Engine.CPUShares {
		out.CPUShares = 0
	}
	if limit > 0 && c.Engine.CPUQuota {
		out.CPUPeriod = quotaPeriod
		out.CPUQuota = max(limit*quotaPeriod/milliPerCPU, minQuota)
	}
	if memory > 0 && c.Engine.MemoryLimit {
		out.Memory = memory
		out.MemorySwap = memory // pods don't swap
	}
	return out
}

// Unenforced are the resources of a container that have a limit, its own or the pod's, which the engine can't enforce.
func (c *Config) Unenforced(pod *v1.Pod, container *v1.Container) (names []v1.ResourceName) {
	for name, can := range map[v1.ResourceName]bool{v1.ResourceCPU: c.Engine.CPUQuota, v1.ResourceMemory: c.Engine.MemoryLimit} {
		_, limited := container.Resources.Limits[name]
		if pod.Spec.Resources != nil && !limited {
			_, limited = pod.Spec.Resources.Limits[name]
		}
		if limited && !can {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// cgroupParent would group containers by QoS class. The engine's default parent is used: with the systemd driver a slice
// of ours would have to be created on the engine's host, where we have no hands.
func (c *Config) cgroupParent(*v1.Pod) string { return "" }

// OOMScore tells the kernel which container to kill first when the node runs out of memory, by kubelet's formula.
func (c *Config) OOMScore(pod *v1.Pod, container *v1.Container) int {
	if pod.Spec.Priority != nil && *pod.Spec.Priority >= scheduling.SystemCriticalPriority {
		return guaranteedOOM
	}
	switch qos.ComputePodQOS(pod) {
	case v1.PodQOSGuaranteed:
		return guaranteedOOM
	case v1.PodQOSBestEffort:
		return bestEffortOOM
	}
	capacity := c.Engine.Memory
	if capacity <= 0 {
		return bestEffortOOM - 1
	}
	request := container.Resources.Requests.Memory().Value()
	if podutil.IsRestartableInitContainer(container) {
		least := int64(-1)
		for i := range pod.Spec.Containers {
			if m := pod.Spec.Containers[i].Resources.Requests.Memory().Value(); least < 0 || m < least {
				least = m
			}
		}
		request = max(request, least)
	}
	score := bestEffortOOM - int(bestEffortOOM*request/capacity)
	// A burstable container ranks between the guaranteed and the best-effort ones.
	return min(max(score, bestEffortOOM+guaranteedOOM), bestEffortOOM-1)
}
