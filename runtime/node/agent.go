package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
	"skiff.local/skiff/runtime/pod"
	"skiff.local/skiff/runtime/pod/spec"
	"skiff.local/skiff/runtime/stats"
)

// DefaultParallel is how many containers the engine starts at a time.
const DefaultParallel = 8

// stopParallel is how many containers are told to stop at a time. With all at once the processors are busy with that first, and
// nothing leaves the network meanwhile, which is what takes longest. Measured: docs/node.md.
const stopParallel = 2

// Agent runs the pods of a node.
type Agent struct {
	cfg     Config
	pods    corelisters.PodLister
	objects *objects
	synced  []cache.InformerSynced
	sampler *stats.Sampler
	started time.Time
	// lookPeriod is the pause between looks for pressure when there is none.
	lookPeriod time.Duration

	// ready is closed when what existed was adopted: from then on workers are started for pods.
	ready chan struct{}

	mu      sync.Mutex
	ctx     context.Context           // of Run; guarded by mu
	shared  *pod.Config               // guarded by mu, set once
	workers map[types.UID]*pod.Worker // guarded by mu
	owners  map[types.UID]*v1.Pod     // the pod each worker was started for; guarded by mu
	running sync.WaitGroup
}

// New makes an agent and registers what it watches.
func New(cfg Config) (*Agent, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.ClusterDomain == "" {
		cfg.ClusterDomain = "cluster.local"
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = DefaultParallel
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	core := cfg.Informers.Core().V1()
	a := &Agent{
		cfg: cfg, pods: core.Pods().Lister(), sampler: stats.New(cfg.Engine), started: time.Now(), lookPeriod: calmPeriod, ready: make(chan struct{}),
		workers: map[types.UID]*pod.Worker{}, owners: map[types.UID]*v1.Pod{},
		objects: newObjects(cfg.Client, cfg.Informers),
	}
	if err := a.watch(core.Pods().Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.podChanged(o) },
		UpdateFunc: func(_, o any) { a.podChanged(o) },
		DeleteFunc: func(o any) { a.podDeleted(o) },
	}); err != nil {
		return nil, err
	}
	if err := a.watch(core.ConfigMaps().Informer(), sourceHandler(a, usesConfigMap)); err != nil {
		return nil, err
	}
	if err := a.watch(core.Secrets().Informer(), sourceHandler(a, usesSecret)); err != nil {
		return nil, err
	}
	if err := a.watch(core.PersistentVolumeClaims().Informer(), sourceHandler(a, usesClaim)); err != nil {
		return nil, err
	}
	a.synced = append(a.synced, core.Services().Informer().HasSynced)
	return a, nil
}

func (a *Agent) watch(informer cache.SharedIndexInformer, handler cache.ResourceEventHandler) error {
	registration, err := informer.AddEventHandler(handler)
	if err != nil {
		return fmt.Errorf("watch for the node: %w", err)
	}
	a.synced = append(a.synced, registration.HasSynced)
	return nil
}

// Run runs the node until ctx ends. Containers keep running when it returns: the next process adopts them.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	info, err := a.cfg.Engine.Info(ctx)
	if err != nil {
		return err
	}
	network, err := a.cfg.Engine.InspectNetwork(ctx, a.cfg.Network)
	if err != nil {
		return err
	}
	shared := a.share(info)
	if len(network.Gateways) > 0 {
		// The engine's host as the pods' network sees it: what listens there is reachable at this address.
		shared.HostAddress = network.Gateways[0].String()
	}
	if err := shared.Validate(); err != nil {
		return err
	}
	a.mu.Lock()
	a.ctx, a.shared = ctx, shared
	a.mu.Unlock()
	events := a.cfg.Engine.Events(ctx, docker.EventOptions{
		Types: []string{"container"}, Labels: map[string]string{docker.LabelProfile: a.cfg.Profile},
		Actions: []string{"start", "die", "oom", "destroy"},
	})
	images := a.cfg.Engine.Events(ctx, docker.EventOptions{Types: []string{"image"}, Actions: []string{"tag", "load", "import", "pull"}})
	a.cfg.Informers.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), a.synced...) {
		return ctx.Err()
	}
	if err := a.adopt(ctx); err != nil {
		return err
	}
	close(a.ready)
	a.startListed()
	a.running.Go(func() { a.watchPressure(ctx) })
	first := true
	for {
		select {
		case <-ctx.Done():
			a.running.Wait()
			return nil
		case ev, ok := <-events:
			if !ok {
				continue
			}
			if ev.Action == docker.EventGap && first {
				first = false // what was there was adopted after the stream began
				continue
			}
			a.engineEvent(ctx, ev)
		case _, ok := <-images:
			if ok {
				a.each(func(w *pod.Worker) { w.ImagesChanged() })
			}
		}
	}
}

// share is what all workers have in common.
func (a *Agent) share(info *docker.EngineInfo) *pod.Config {
	allocatable := a.cfg.Allocatable
	if allocatable == nil {
		allocatable = v1.ResourceList{
			v1.ResourceCPU:    *resource.NewQuantity(int64(info.CPUs), resource.DecimalSI),
			v1.ResourceMemory: *resource.NewQuantity(info.Memory, resource.BinarySI),
		}
	}
	var hostIPs []string
	if a.cfg.NodeIP.IsValid() {
		hostIPs = []string{a.cfg.NodeIP.String()}
	}
	return &pod.Config{
		Engine: a.cfg.Engine, Objects: a.objects, Client: a.cfg.Client, Recorder: a.cfg.Recorder, Dial: a.cfg.Dial,
		Images: &images{manager: image.NewManager(image.Config{Engine: a.cfg.Engine, Host: a.cfg.HostCredentials}), objects: a.objects},
		Starts: pod.NewSlots(a.cfg.Parallel), Stops: pod.NewSlots(stopParallel), Removals: pod.NewSlots(a.cfg.Parallel), Detachments: pod.NewSlots(docker.DetachParallel),
		HostIPs: hostIPs, EndpointsSettled: a.cfg.EndpointsSettled, Isolate: a.cfg.Isolate, Logger: a.cfg.Logger,
		Spec: spec.Config{
			Profile: a.cfg.Profile, Network: a.cfg.Network, NodeImage: a.cfg.NodeImage, ClusterDNS: a.cfg.ClusterDNS,
			ClusterDomain: a.cfg.ClusterDomain, Engine: *info, Features: a.cfg.Engine.Features(), Allocatable: allocatable,
		},
	}
}

func (a *Agent) ours(p *v1.Pod) bool { return slices.Contains(a.cfg.NodeNames, p.Spec.NodeName) }

func (a *Agent) isReady() bool {
	select {
	case <-a.ready:
		return true
	default:
		return false
	}
}

func (a *Agent) podChanged(o any) {
	p, ok := o.(*v1.Pod)
	if !ok || !a.ours(p) || !a.isReady() {
		return
	}
	a.ensureWorker(p)
}

// ensureWorker hands the pod to its worker, starting one if there is none.
func (a *Agent) ensureWorker(p *v1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.workers[p.UID]; w != nil {
		w.Update(p)
		return
	}
	if a.ctx.Err() != nil {
		return
	}
	if reason, message := a.admitLocked(p); reason != "" {
		a.keepLocked(p, pod.Reject(a.ctx, a.shared, p, reason, message))
		return
	}
	a.startLocked(p, nil, false)
}

// admitLocked asks whether the node takes a pod that nobody has begun to run. Those that it runs count against it until they have
// ended; a.mu is held.
func (a *Agent) admitLocked(p *v1.Pod) (reason, message string) {
	if a.cfg.Admit == nil || p.Status.StartTime != nil || p.DeletionTimestamp != nil || podutil.IsPodPhaseTerminal(p.Status.Phase) {
		return "", ""
	}
	var others []*v1.Pod
	for _, other := range a.listed() {
		if a.workers[other.UID] != nil && other.Spec.NodeName == p.Spec.NodeName && !podutil.IsPodPhaseTerminal(other.Status.Phase) {
			others = append(others, other)
		}
	}
	return a.cfg.Admit(p, others)
}

// startLocked starts a worker; a.mu is held.
func (a *Agent) startLocked(p *v1.Pod, existing []docker.ContainerSummary, gone bool) {
	if a.ctx.Err() != nil {
		return
	}
	a.keepLocked(p, pod.Start(a.ctx, a.shared, p, existing, gone))
}

// keepLocked keeps a worker until nothing is left of its pod; a.mu is held.
func (a *Agent) keepLocked(p *v1.Pod, w *pod.Worker) {
	a.workers[p.UID], a.owners[p.UID] = w, p
	a.running.Go(func() {
		<-w.Done()
		a.mu.Lock()
		delete(a.workers, p.UID)
		delete(a.owners, p.UID)
		ended := a.ctx.Err() == nil
		a.mu.Unlock()
		if ended && a.cfg.EndpointGone != nil {
			a.cfg.EndpointGone(p.UID)
		}
	})
}

func (a *Agent) podDeleted(o any) {
	if tomb, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = tomb.Obj
	}
	p, ok := o.(*v1.Pod)
	if !ok || !a.ours(p) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.workers[p.UID]; w != nil {
		w.Deleted()
	}
}

// startListed starts workers for pods that came before the agent was ready.
func (a *Agent) startListed() {
	for _, p := range a.listed() {
		a.ensureWorker(p)
	}
}

func (a *Agent) each(visit func(*pod.Worker)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		visit(w)
	}
}

// Why explains a pod; it reports false for one that has no worker here.
func (a *Agent) Why(namespace, name string) (pod.Why, bool) {
	if w := a.worker(namespace, name); w != nil {
		return w.Why(), true
	}
	return pod.Why{}, false
}

// worker finds the worker of a pod by name; of several incarnations the one that the API has.
func (a *Agent) worker(namespace, name string) *pod.Worker {
	current, _ := a.pods.Pods(namespace).Get(name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if current != nil {
		return a.workers[current.UID]
	}
	for uid, p := range a.owners {
		if p.Namespace == namespace && p.Name == name {
			return a.workers[uid]
		}
	}
	return nil
}
