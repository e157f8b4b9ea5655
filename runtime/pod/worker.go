package pod

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/probe"
	"skiff.local/skiff/runtime/volume"
	"skiff.local/skiff/runtime/volume/wire"
)

// A Worker keeps one pod. Its methods can be called from any goroutine; none of them blocks.
type Worker struct {
	cfg    *Config
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	known  chan struct{}
	wake   chan struct{}

	mu    sync.Mutex
	inbox []func() // run by the worker's goroutine; guarded by mu
	why   Why      // guarded by mu
	view  View     // guarded by mu

	// agent serialises requests to the pod's pause container.
	agent sync.Mutex
	// copying serialises copies of images into volumes.
	copying sync.Mutex
	// writing serialises status writes.
	writing sync.Mutex
	// sandboxFor is the id of the sandbox that can be asked, for goroutines beside the worker's.
	sandboxFor atomic.Pointer[string]

	// current is the pod, for goroutines beside the worker's.
	current atomic.Pointer[v1.Pod]

	// Everything below belongs to the worker's goroutine.

	pod        *v1.Pod // the API object; its status is the newest that is known
	gone       bool
	observed   bool // the engine's containers are known
	explained  bool // known is closed
	sandboxes  map[string]*plan.Sandbox
	containers map[string]*plan.Container
	images     map[string]ensured
	probes     map[string]plan.Probes
	probers    map[proberKey]context.CancelFunc
	hooks      map[string]plan.Hook
	preStopped map[string]bool             // sidecars whose preStop hook is over
	resources  map[string]docker.Resources // what running containers have
	again      map[string]bool             // containers that are stopped to be started anew
	faults     map[plan.Key]plan.Fault
	flights    map[plan.Key]*flight
	inspecting map[string]bool

	volumes       []volume.Volume
	made          []volume.Volume // by this process, all of them; nil when others may exist
	mountpoints   map[string]string
	content       *volume.Content
	written       string // digest of the content in the volumes
	stale         bool   // the sources may have changed
	tokens        map[string]token
	volumesExist  bool
	endpointsGone bool
	adopted       bool // a former process may have begun
	finished      bool
	measuring     bool
	measureAt     time.Time
	verdict       *plan.Verdict
	reclaim       bool

	last   *plan.Plan
	status statusWriter
}

type ensured struct {
	attempt int
	image   Image
}

type flight struct {
	since    time.Time
	deadline time.Time
	cancel   context.CancelFunc
	outdated bool // what it may fail for has changed since it began
}

type proberKey struct {
	id   string
	kind probe.Kind
}

// Start starts the worker of a pod. existing are the pod's containers in the engine, for a pod that was there before this
// process; gone says that the API has no such pod any more and what exists has to go.
func Start(ctx context.Context, cfg *Config, pod *v1.Pod, existing []docker.ContainerSummary, gone bool) *Worker {
	w := newWorker(ctx, cfg, pod)
	w.gone = gone
	w.adopt(existing)
	go w.run()
	return w
}

// Reject starts the worker of a pod that the node does not take: it fails, and nothing of it is ever started.
func Reject(ctx context.Context, cfg *Config, pod *v1.Pod, reason, message string) *Worker {
	w := newWorker(ctx, cfg, pod)
	w.verdict = &plan.Verdict{Reason: reason, Message: "Pod was rejected: " + message}
	w.event(v1.EventTypeWarning, reason, message)
	w.adopt(nil)
	go w.run()
	return w
}

func newWorker(ctx context.Context, cfg *Config, pod *v1.Pod) *Worker {
	ctx, cancel := context.WithCancel(ctx)
	w := &Worker{
		cfg: cfg, ctx: ctx, cancel: cancel, done: make(chan struct{}), known: make(chan struct{}), wake: make(chan struct{}, 1),
		pod:       pod.DeepCopy(),
		sandboxes: map[string]*plan.Sandbox{}, containers: map[string]*plan.Container{}, images: map[string]ensured{},
		probes: map[string]plan.Probes{}, probers: map[proberKey]context.CancelFunc{}, hooks: map[string]plan.Hook{}, preStopped: map[string]bool{}, resources: map[string]docker.Resources{},
		again: map[string]bool{}, faults: map[plan.Key]plan.Fault{}, flights: map[plan.Key]*flight{},
		inspecting: map[string]bool{}, mountpoints: map[string]string{}, tokens: map[string]token{},
	}
	w.current.Store(w.pod)
	return w
}

// Done is closed when nothing is left of the pod, or the worker's context has ended.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Known is closed when View tells what the engine has of the pod; of one that a former process began, that takes a look first.
func (w *Worker) Known() <-chan struct{} { return w.known }

// Update tells the worker the newest API object.
func (w *Worker) Update(pod *v1.Pod) {
	w.post(func() { w.setPod(pod) })
}

// Deleted tells the worker that the API no longer has the pod.
func (w *Worker) Deleted() {
	w.post(func() { w.gone = true })
}

// SourcesChanged tells the worker that a ConfigMap, Secret or claim of the pod may have changed: what failed for want of it
// is tried again and the volumes are brought up to date.
func (w *Worker) SourcesChanged() {
	w.post(func() {
		w.stale = true
		w.forgive(plan.Source, plan.CreateContainer, plan.CreateSandbox)
	})
}

// forgive makes what failed be tried again at once. What is under way may have looked before the change, and failed by the time it
// is known here: its failure does not count either.
func (w *Worker) forgive(kinds ...plan.Kind) {
	for key := range w.faults {
		if slices.Contains(kinds, key.Kind) {
			delete(w.faults, key)
		}
	}
	for key, f := range w.flights {
		if slices.Contains(kinds, key.Kind) {
			f.outdated = true
		}
	}
}

// Host asks the pod's pause container what the engine's machine has left; it fails when none is running.
func (w *Worker) Host(ctx context.Context) (wire.Host, error) {
	sandbox := w.sandboxFor.Load()
	if sandbox == nil || *sandbox == "" {
		return wire.Host{}, errors.New("the pod has no running sandbox")
	}
	results, err := w.ask(ctx, *sandbox, []wire.Op{{Kind: wire.HostStat, Path: wire.PodDir}})
	if err != nil {
		return wire.Host{}, err
	}
	if results[0].Err != "" {
		return wire.Host{}, errors.New(results[0].Err)
	}
	return wire.ParseHost(string(results[0].Data))
}

// ImagesChanged tells the worker that the engine got new images: a pull that waits is tried again at once.
func (w *Worker) ImagesChanged() {
	w.post(func() { w.forgive(plan.EnsureImage) })
}

// Reclaim tells the worker whether the node's disk is short: while it is, nothing dead is kept, and of a pod that has ended nothing
// at all but its object.
func (w *Worker) Reclaim(short bool) {
	w.post(func() { w.reclaim = short })
}

// Evict ends the pod: phase Failed, with a DisruptionTarget condition, and no time for its containers.
func (w *Worker) Evict(reason, message string) {
	w.post(func() { w.evict(true, reason, message) })
}

func (w *Worker) post(f func()) {
	w.mu.Lock()
	w.inbox = append(w.inbox, f)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Worker) run() {
	defer close(w.done)
	defer w.cancel()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		w.drain()
		if w.observed {
			next := w.step()
			if next.Done {
				return
			}
			arm(timer, next.Wake)
		}
		select {
		case <-w.wake:
		case <-timer.C:
		case <-w.ctx.Done():
			w.stopProbes(func(proberKey) bool { return true })
			return
		}
	}
}

// arm sets the timer for a wall-clock time. Timers don't run while a machine sleeps; the worker is then woken late, by
// which time the plan, which looks at the clock, says what is due.
func arm(timer *time.Timer, at time.Time) {
	timer.Stop()
	if !at.IsZero() {
		timer.Reset(max(time.Until(at), time.Millisecond))
	}
}

func (w *Worker) drain() {
	w.mu.Lock()
	todo := w.inbox
	w.inbox = nil
	w.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

// step makes a plan from what is known and starts what it says.
func (w *Worker) step() *plan.Plan {
	w.refreshTokens(time.Now())
	facts := w.facts(time.Now())
	next := plan.Compute(facts)
	if next.Verdict != nil && w.verdict == nil {
		w.verdict = next.Verdict
		w.event(v1.EventTypeNormal, next.Verdict.Reason, next.Verdict.Message)
	}
	for _, key := range next.Cancel {
		if f := w.flights[key]; f != nil {
			f.cancel()
		}
	}
	for _, op := range next.Hurry {
		w.hurry(op)
	}
	w.backoffEvents(&next)
	for _, op := range next.Ops {
		w.launch(op)
	}
	w.last = &next
	w.noteSandbox()
	w.reconcileProbes(&next)
	w.watchUsage(&next)
	w.showStatus(facts, &next)
	w.explain(facts, &next)
	if w.content != nil && !w.content.Refresh.IsZero() && !next.Terminal && (next.Wake.IsZero() || w.content.Refresh.Before(next.Wake)) {
		next.Wake = w.content.Refresh
	}
	return &next
}

// noteSandbox publishes which sandbox can be asked for files.
func (w *Worker) noteSandbox() {
	id := ""
	for _, s := range w.sandboxes {
		if s.State == plan.Running {
			id = s.ID
		}
	}
	w.sandboxFor.Store(&id)
}

// refreshTokens has the content of the volumes collected anew when a token is due.
func (w *Worker) refreshTokens(now time.Time) {
	if w.content == nil || w.content.Refresh.IsZero() || now.Before(w.content.Refresh) {
		return
	}
	w.stale = true
	w.content.Refresh = now.Add(time.Minute) // if it fails
}
