package metrics

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/metrics/pkg/apis/metrics"
)

// Source samples running containers, when it is asked.
type Source interface {
	// PodUsage returns what the given pods use, by UID. Pods of which nothing is known yet are left out.
	PodUsage(ctx context.Context, pods []*corev1.Pod) (map[types.UID]PodUsage, error)
}

// PodUsage is what one pod uses.
type PodUsage struct {
	Time       time.Time
	Window     time.Duration // over which CPU was averaged
	Containers []ContainerUsage
}

// ContainerUsage is what one container of a pod uses.
type ContainerUsage struct {
	Name     string
	CPUNanos uint64 // nanoseconds of CPU per second
	Memory   uint64 // working set in bytes
}

// sampler answers for objects that exist, from a source.
type sampler struct {
	source Source
	pods   corelisters.PodLister
	nodes  corelisters.NodeLister
}

func (s sampler) podMetrics(ctx context.Context, pods []*corev1.Pod) ([]metrics.PodMetrics, error) {
	var running []*corev1.Pod
	for _, p := range pods {
		if p.Status.Phase == corev1.PodRunning {
			running = append(running, p)
		}
	}
	if len(running) == 0 {
		return nil, nil
	}
	usage, err := s.source.PodUsage(ctx, running)
	if err != nil {
		return nil, fmt.Errorf("sample pods: %w", err)
	}
	var list []metrics.PodMetrics
	for _, p := range running {
		u, ok := usage[p.UID]
		if !ok {
			continue
		}
		m := metrics.PodMetrics{
			ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: p.Labels, CreationTimestamp: metav1.NewTime(u.Time)},
			Timestamp:  metav1.NewTime(u.Time),
			Window:     metav1.Duration{Duration: u.Window},
		}
		for _, c := range u.Containers {
			m.Containers = append(m.Containers, metrics.ContainerMetrics{Name: c.Name, Usage: resources(c.CPUNanos, c.Memory)})
		}
		list = append(list, m)
	}
	return list, nil
}

// nodeMetrics adds up the pods of each node. The engine can't tell what its host uses besides: a node's usage is that
// of its pods, where metrics-server would count the whole machine.
func (s sampler) nodeMetrics(ctx context.Context, nodes []*corev1.Node) ([]metrics.NodeMetrics, error) {
	pods, err := s.pods.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	wanted := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		wanted[n.Name] = true
	}
	var running []*corev1.Pod
	for _, p := range pods {
		if wanted[p.Spec.NodeName] && p.Status.Phase == corev1.PodRunning {
			running = append(running, p)
		}
	}
	usage := map[types.UID]PodUsage{}
	if len(running) > 0 {
		if usage, err = s.source.PodUsage(ctx, running); err != nil {
			return nil, fmt.Errorf("sample pods: %w", err)
		}
	}
	var list []metrics.NodeMetrics
	for _, n := range nodes {
		list = append(list, nodeMetrics(n, running, usage, time.Now()))
	}
	return list, nil
}

func nodeMetrics(n *corev1.Node, pods []*corev1.Pod, usage map[types.UID]PodUsage, now time.Time) metrics.NodeMetrics {
	var cpu, memory uint64
	at, window := now, time.Duration(0)
	for _, p := range pods {
		u, ok := usage[p.UID]
		if !ok || p.Spec.NodeName != n.Name {
			continue
		}
		if u.Time.Before(at) {
			at = u.Time
		}
		window = max(window, u.Window)
		for _, c := range u.Containers {
			cpu += c.CPUNanos
			memory += c.Memory
		}
	}
	return metrics.NodeMetrics{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels, CreationTimestamp: metav1.NewTime(at)},
		Timestamp:  metav1.NewTime(at),
		Window:     metav1.Duration{Duration: window},
		Usage:      resources(cpu, memory),
	}
}

func resources(cpuNanos, memory uint64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(cpuNanos), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(memory), resource.BinarySI),
	}
}
