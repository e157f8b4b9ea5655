// Package stats turns the engine's counters into kubelet's summary API. A container is sampled when somebody asks, and at
// no other time: polling every container is what makes other tools burn processors.
package stats

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"skiff.local/skiff/runtime/docker"
)

// Engine is what sampling needs of the engine.
type Engine interface {
	Stats(ctx context.Context, id string) (*docker.Stats, error)
}

// A Pod is one pod to sample.
type Pod struct {
	Namespace, Name, UID string
	Started              time.Time
	Sandbox              string // its network is counted here
	Containers           []Container
	// Volumes, when known, are the bytes in the pod's own volumes.
	Volumes map[string]int64
}

// A Container is one running container to sample.
type Container struct {
	Name, ID string
	Started  time.Time
}

// A Sampler samples on demand. It keeps the last sample of each container, since a rate needs two.
type Sampler struct {
	engine Engine
	slots  chan struct{}

	mu   sync.Mutex
	last map[string]sample // by container id; guarded by mu
	past uint64            // nanoseconds of processor that containers used which are gone; guarded by mu
}

type sample struct {
	at    time.Time
	nanos uint64
	rate  uint64 // nanocores between the two samples before
}

// parallel is how many containers are sampled at a time. Chosen: the engine answers each in about a millisecond of its own.
const parallel = 8

// shortest is the least time between two samples that a rate is made from; more frequent callers get the last rate.
const shortest = 500 * time.Millisecond

// New makes a sampler.
func New(engine Engine) *Sampler {
	return &Sampler{engine: engine, slots: make(chan struct{}, parallel), last: map[string]sample{}}
}

// Summary samples all containers of the pods. A container that can't be sampled, because it just ended, is left out.
func (s *Sampler) Summary(ctx context.Context, node string, started time.Time, pods []Pod) *statsapi.Summary {
	out := &statsapi.Summary{Node: statsapi.NodeStats{NodeName: node, StartTime: metav1.NewTime(started)}, Pods: make([]statsapi.PodStats, len(pods))}
	var wait sync.WaitGroup
	for i := range pods {
		wait.Go(func() { out.Pods[i] = s.pod(ctx, &pods[i]) })
	}
	wait.Wait()
	var cores, memory, rss uint64
	for i := range out.Pods {
		cores += value(out.Pods[i].CPU.UsageNanoCores)
		memory += value(out.Pods[i].Memory.WorkingSetBytes)
		rss += value(out.Pods[i].Memory.RSSBytes)
	}
	now := metav1.Now()
	s.forget(pods)
	cpu := s.used()
	out.Node.CPU = &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &cpu, UsageNanoCores: &cores}
	out.Node.Memory = &statsapi.MemoryStats{Time: now, WorkingSetBytes: &memory, UsageBytes: &memory, RSSBytes: &rss}
	return out
}

func value(p *uint64) uint64 {
	if p == nil {
		return 0
	}
	return *p
}

func (s *Sampler) pod(ctx context.Context, p *Pod) statsapi.PodStats {
	out := statsapi.PodStats{
		PodRef: statsapi.PodReference{Name: p.Name, Namespace: p.Namespace, UID: p.UID}, StartTime: metav1.NewTime(p.Started),
		CPU: &statsapi.CPUStats{}, Memory: &statsapi.MemoryStats{},
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	var cpu, cores, usage, working, rss, faults, major, processes uint64
	for _, c := range p.Containers {
		wait.Go(func() {
			stats, rate, ok := s.sample(ctx, c)
			if !ok {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			cpu, cores, usage = cpu+stats.CPUNanos, cores+rate, usage+stats.MemoryUsage
			working, rss = working+stats.MemoryWorkingSet, rss+stats.MemoryRSS
			faults, major, processes = faults+stats.PageFaults, major+stats.MajorPageFaults, processes+stats.Pids
			out.Containers = append(out.Containers, containerStats(c, stats, rate))
		})
	}
	if p.Sandbox != "" {
		wait.Go(func() {
			if stats, _, ok := s.sample(ctx, Container{ID: p.Sandbox, Started: p.Started}); ok {
				mu.Lock()
				defer mu.Unlock()
				out.Network = network(stats)
			}
		})
	}
	wait.Wait()
	now := metav1.Now()
	if len(out.Containers) > 0 {
		out.CPU = &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &cpu, UsageNanoCores: &cores}
		out.Memory = &statsapi.MemoryStats{
			Time: now, UsageBytes: &usage, WorkingSetBytes: &working, RSSBytes: &rss, PageFaults: &faults, MajorPageFaults: &major,
		}
		out.ProcessStats = &statsapi.ProcessStats{ProcessCount: &processes}
	}
	for name, bytes := range p.Volumes {
		used := uint64(max(bytes, 0))
		out.VolumeStats = append(out.VolumeStats, statsapi.VolumeStats{Name: name, FsStats: statsapi.FsStats{Time: now, UsedBytes: &used}})
	}
	return out
}

func containerStats(c Container, stats *docker.Stats, rate uint64) statsapi.ContainerStats {
	at := metav1.NewTime(stats.Read)
	memory := &statsapi.MemoryStats{
		Time: at, UsageBytes: &stats.MemoryUsage, WorkingSetBytes: &stats.MemoryWorkingSet, RSSBytes: &stats.MemoryRSS,
		PageFaults: &stats.PageFaults, MajorPageFaults: &stats.MajorPageFaults,
	}
	if stats.MemoryLimit > stats.MemoryWorkingSet {
		free := stats.MemoryLimit - stats.MemoryWorkingSet
		memory.AvailableBytes = &free
	}
	return statsapi.ContainerStats{
		Name: c.Name, StartTime: metav1.NewTime(c.Started), Memory: memory,
		CPU: &statsapi.CPUStats{Time: at, UsageCoreNanoSeconds: &stats.CPUNanos, UsageNanoCores: &rate},
	}
}

func network(stats *docker.Stats) *statsapi.NetworkStats {
	out := &statsapi.NetworkStats{Time: metav1.NewTime(stats.Read)}
	for name, n := range stats.Networks {
		i := statsapi.InterfaceStats{Name: name, RxBytes: &n.RxBytes, RxErrors: &n.RxErrors, TxBytes: &n.TxBytes, TxErrors: &n.TxErrors}
		out.Interfaces = append(out.Interfaces, i)
		if name == "eth0" {
			out.InterfaceStats = i
		}
	}
	return out
}

// sample takes one sample and the rate since the one before; the first rate is the average since the container started.
func (s *Sampler) sample(ctx context.Context, c Container) (*docker.Stats, uint64, bool) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, 0, false
	}
	stats, err := s.engine.Stats(ctx, c.ID)
	if err != nil {
		return nil, 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok := s.last[c.ID]
	if !ok {
		before = sample{at: c.Started}
	}
	age := stats.Read.Sub(before.at)
	if ok && age < shortest {
		return stats, before.rate, true
	}
	rate := uint64(0)
	if age > 0 && stats.CPUNanos >= before.nanos {
		rate = uint64(float64(stats.CPUNanos-before.nanos) / age.Seconds())
	}
	s.last[c.ID] = sample{at: stats.Read, nanos: stats.CPUNanos, rate: rate}
	return stats, rate, true
}

// forget drops the samples of containers that are no longer there.
func (s *Sampler) forget(pods []Pod) {
	there := map[string]bool{}
	for i := range pods {
		there[pods[i].Sandbox] = true
		for _, c := range pods[i].Containers {
			there[c.ID] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.last {
		if !there[id] {
			s.past += s.last[id].nanos
			delete(s.last, id)
		}
	}
}

// used is what all containers have used of the processors since the sampler was made, those that are gone included.
func (s *Sampler) used() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.past
	for _, one := range s.last {
		sum += one.nanos
	}
	return sum
}
