package outcome

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// patience is how long a pod may take before it is said what it waits for, when nothing is certainly wrong. Chosen: a
// pod on a local engine runs within one second, its probes answer within two.
const patience = 3 * time.Second

const (
	// settle is how long something must not be ready any more before that is said: the answer to an apply and the
	// watch race, and the set's own words about what it changed should come first.
	settle = 100 * time.Millisecond
	// repeat is how long to keep quiet about a delay that only changed its words.
	repeat = 15 * time.Second
)

// Config is what a Follower needs.
type Config struct {
	Client   kubernetes.Interface
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	// Resource finds where objects of a kind are served.
	Resource func(schema.GroupKind) (schema.GroupVersionResource, error)
	// Selector selects the members of the set.
	Selector string
	// Namespace is used where listing all namespaces isn't allowed.
	Namespace string
	Emit      func(event.Event)
	// Gone is called for members that disappeared without Pruned.
	Gone func(ref plan.Ref, uid string)
	// PodChanged, when set, is called after a pod of the followed namespaces changed.
	PodChanged func()
}

// Follower follows the members of one set. Its methods may be called from any goroutine.
type Follower struct {
	config Config
	wake   chan struct{}

	mu      sync.Mutex
	ctx     context.Context // of Run, nil before
	kinds   map[schema.GroupKind]bool
	pods    map[string]*podWatch // by namespace
	tracks  map[plan.Ref]*track
	due     map[plan.Ref]time.Time
	pruned  map[string]bool // UIDs that the set deleted itself
	waiting sync.WaitGroup
}

// track is what is known and was said of one object.
type track struct {
	ref       plan.Ref
	object    *unstructured.Unstructured
	uid       string
	appliedAt time.Time
	expect    int64 // the generation that was applied
	quiet     bool  // it is known from before: its being ready is no news
	ready     bool
	lapsed    time.Time // since when it is not ready although ready is set; zero while it is
	since     time.Time // when it stopped being ready, or was applied
	progress  string    // as said last
	waiting   string    // the trouble that was said last
	saidAt    time.Time // when that was
	crashes   map[string]bool
	lastLines string
	// recovering is since when it is ready after a crash, zero when it is not or did not crash.
	recovering time.Time
}

// New returns a follower of nothing.
func New(config Config) *Follower {
	return &Follower{
		config: config, wake: make(chan struct{}, 1), kinds: map[schema.GroupKind]bool{}, pods: map[string]*podWatch{},
		tracks: map[plan.Ref]*track{}, due: map[plan.Ref]time.Time{}, pruned: map[string]bool{},
	}
}

// Applied says that the set sent an object and what the cluster returned.
func (f *Follower) Applied(ref plan.Ref, live *unstructured.Unstructured) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trackLocked(ref)
	now := time.Now()
	t.appliedAt, t.since, t.expect, t.quiet, t.ready = now, now, live.GetGeneration(), false, false
	t.uid, t.progress, t.waiting, t.crashes, t.recovering, t.lapsed = string(live.GetUID()), "", "", map[string]bool{}, time.Time{}, time.Time{}
	if t.object == nil || t.object.GetResourceVersion() != live.GetResourceVersion() {
		t.object = live.DeepCopy()
	}
	f.followLocked(ref)
	f.dirtyLocked(ref, now)
}

// Known says that an object is a member from before.
func (f *Follower) Known(ref plan.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tracks[ref] != nil {
		return
	}
	t := f.trackLocked(ref)
	t.quiet, t.since, t.appliedAt = true, time.Now(), time.Now()
	f.followLocked(ref)
}

// Pruned says that the set deletes an object itself.
func (f *Follower) Pruned(ref plan.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.tracks[ref]; t != nil {
		f.pruned[t.uid] = true
		delete(f.tracks, ref)
		delete(f.due, ref)
	}
}

func (f *Follower) trackLocked(ref plan.Ref) *track {
	t := f.tracks[ref]
	if t == nil {
		t = &track{ref: ref, crashes: map[string]bool{}}
		f.tracks[ref] = t
	}
	return t
}

// dirtyLocked has an object looked at, at this time or earlier.
func (f *Follower) dirtyLocked(ref plan.Ref, at time.Time) {
	if before, known := f.due[ref]; known && before.Before(at) {
		return
	}
	f.due[ref] = at
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run works until the context ends.
func (f *Follower) Run(ctx context.Context) {
	f.mu.Lock()
	f.ctx = ctx
	for ref := range f.tracks {
		f.followLocked(ref)
	}
	f.mu.Unlock()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(f.work())
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-timer.C:
		}
	}
	f.waiting.Wait()
}

// work looks at everything that is due and returns how long to wait for the next.
func (f *Follower) work() time.Duration {
	now := time.Now()
	next := time.Hour
	f.mu.Lock()
	var ready []plan.Ref
	for ref, at := range f.due {
		if !at.After(now) {
			ready = append(ready, ref)
			delete(f.due, ref)
		} else {
			next = min(next, at.Sub(now))
		}
	}
	f.mu.Unlock()
	for _, ref := range ready {
		f.look(ref, now)
	}
	return next
}

// look judges one object and says what is new.
func (f *Follower) look(ref plan.Ref, now time.Time) {
	f.mu.Lock()
	t := f.tracks[ref]
	if t == nil || t.object == nil || t.object.GetGeneration() < t.expect {
		f.mu.Unlock()
		return
	}
	verdict := Judge(t.object)
	pods := f.podsOfLocked(t)
	says := t.advance(verdict, pods, now)
	if says.again > 0 {
		f.dirtyLocked(ref, now.Add(says.again))
	}
	f.mu.Unlock()
	for _, e := range says.events {
		f.config.Emit(e)
	}
	for _, crash := range says.crashes {
		f.tellCrash(ref, crash)
	}
	if says.ask != nil {
		f.tellWaiting(ref, *says.ask)
	}
}

// saying is what a look found worth saying.
type saying struct {
	events  []event.Event
	crashes []crashReport
	ask     *question // a Waiting event that the cluster's events may say more precisely
	again   time.Duration
}

type crashReport struct {
	pod   *corev1.Pod
	crash Crash
}

type question struct {
	event event.Event
	pod   *corev1.Pod // nil: about the object itself
}

// advance compares a verdict with what was said before. It neither waits nor asks anybody.
func (t *track) advance(verdict Verdict, pods []*corev1.Pod, now time.Time) saying {
	var says saying
	ref := t.ref
	switch verdict.State {
	case Silent:
		return says
	case Ready:
		t.lapsed = time.Time{}
		if !t.ready {
			since := now
			if len(t.crashes) > 0 && !t.quiet {
				// Without a probe, what crashes at its start is ready for a moment every time.
				if t.recovering.IsZero() {
					t.recovering = now
				}
				since = t.recovering
				if stood := now.Sub(since); stood < patience {
					says.again = patience - stood
					return says
				}
			}
			if !t.quiet {
				says.events = append(says.events, event.Event{Type: event.Ready, Object: &ref, Message: verdict.Message, Took: since.Sub(t.since)})
			}
			t.ready, t.quiet, t.waiting, t.progress = true, false, "", ""
			t.lastLines, t.recovering = "", time.Time{}
		}
		return says
	}
	t.recovering = time.Time{}
	if t.ready {
		if t.lapsed.IsZero() {
			t.lapsed = now
		}
		if lapse := now.Sub(t.lapsed); lapse < settle {
			says.again = settle - lapse
			return says
		}
		t.ready, t.since = false, t.lapsed
	}
	if behind(t.object) {
		pods = nil // what is wrong with them may be what the change repairs
	}
	if verdict.Message != t.progress && !t.quiet {
		t.progress = verdict.Message
		says.events = append(says.events, event.Event{Type: event.Progress, Object: &ref, Message: verdict.Message})
	}
	for _, pod := range pods {
		if formerRevision(t.object, pod) {
			continue // its log is about what was changed since
		}
		for _, crash := range Crashes(pod) {
			if !t.crashes[crash.Ended] {
				t.crashes[crash.Ended] = true
				says.crashes = append(says.crashes, crashReport{pod: pod, crash: crash})
			}
		}
	}
	trouble, pod := worst(pods)
	if pod != nil && trouble.Certain && formerRevision(t.object, pod) {
		trouble = heldBack(trouble, pod)
	}
	e := event.Event{Type: event.Waiting, Object: &ref, Message: verdict.Message}
	certain := verdict.State == Failed
	key := e.Message
	if pod != nil {
		e.Pod = pod.Name
		e.Message = verdict.Message + "; pod " + pod.Name + ": " + trouble.Message
		if ref.Kind == "Pod" {
			e.Message = trouble.Message
		}
		certain = certain || trouble.Certain
		if key = e.Message; trouble.Key != "" {
			key = trouble.Key
		}
	}
	for _, report := range says.crashes {
		if key == crashKey(report.crash.Container) {
			t.waiting, t.saidAt = key, now // the crash itself says it, with the log
		}
	}
	if key == t.waiting {
		return says
	}
	if waited := now.Sub(t.since); !certain && waited < patience {
		says.again = patience - waited
		return says
	}
	if quiet := now.Sub(t.saidAt); !certain && t.waiting != "" && quiet < repeat {
		says.again = repeat - quiet
		return says
	}
	t.waiting, t.saidAt = key, now
	if pod != nil && trouble.Event || pod == nil && verdict.State == Progressing {
		says.ask = &question{event: e, pod: pod}
		return says
	}
	says.events = append(says.events, e)
	return says
}

// worst picks the pod whose trouble says most: a certain one before a mere delay, the newest before older ones.
func worst(pods []*corev1.Pod) (Trouble, *corev1.Pod) {
	var found Trouble
	var which *corev1.Pod
	for _, pod := range pods {
		trouble, troubled := PodTrouble(pod)
		if !troubled {
			continue
		}
		better := which == nil || trouble.Certain && !found.Certain ||
			trouble.Certain == found.Certain && pod.CreationTimestamp.After(which.CreationTimestamp.Time)
		if better {
			found, which = trouble, pod
		}
	}
	return found, which
}
