package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

// A world is an engine in which every operation that starts takes effect when the test says so.
type world struct {
	t      *rapid.T
	f      *Facts
	ids    int
	starts []string // names in the order in which containers were started
	done   bool
	dead   time.Time // the latest deadline that a stop of a deleted pod was given
}

func newWorld(t *rapid.T) *world {
	always := v1.ContainerRestartPolicyAlways
	pod := newPod(func(p *v1.Pod) {
		p.Spec.RestartPolicy = rapid.SampledFrom([]v1.RestartPolicy{v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever}).Draw(t, "policy")
		p.Spec.Containers = nil
		for i := range rapid.IntRange(1, 3).Draw(t, "containers") {
			p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: fmt.Sprintf("c%d", i), Image: "app"})
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "inits") {
			c := v1.Container{Name: fmt.Sprintf("i%d", i), Image: "app"}
			if rapid.Bool().Draw(t, "sidecar") {
				c.RestartPolicy = &always
				if rapid.Bool().Draw(t, "hook") {
					c.Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{}}
				}
			}
			p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		}
	})
	return &world{t: t, f: &Facts{
		Now: noon, Pod: pod, Images: map[string]Image{}, Probes: map[string]Probes{}, Hooks: map[string]Hook{},
		Faults: map[Key]Fault{}, InFlight: map[Key]InFlight{}, PreStopped: map[string]bool{},
	}}
}

func (w *world) id() string { w.ids++; return fmt.Sprintf("id%d", w.ids) }

func (w *world) compute() Plan {
	w.f.Sort()
	again := *w.f
	first, second := Compute(w.f), Compute(&again)
	if first.String() != second.String() {
		w.t.Fatalf("the same facts gave two plans:\n%s\n%s", first, second)
	}
	w.done = first.Done
	return first
}

func (w *world) find(id string) *Container {
	for i := range w.f.Containers {
		if w.f.Containers[i].ID == id {
			return &w.f.Containers[i]
		}
	}
	return nil
}

func (w *world) sandbox(id string) *Sandbox {
	for i := range w.f.Sandboxes {
		if w.f.Sandboxes[i].ID == id {
			return &w.f.Sandboxes[i]
		}
	}
	w.t.Fatalf("no sandbox %s", id)
	return nil
}

// apply lets an operation succeed.
func (w *world) apply(op Op) {
	f := w.f
	switch op.Kind {
	case Source:
		f.Sourced, f.Stale = true, false
	case CreateSandbox:
		f.Volumes = true
		f.Sandboxes = append(f.Sandboxes, Sandbox{ID: w.id(), Attempt: op.Attempt, State: Created})
	case StartSandbox:
		w.sandbox(op.ID).State = Running
	case PrepareSandbox:
		w.sandbox(op.ID).Prepared = true
	case RemoveSandbox:
		w.sandbox(op.ID).State = Gone
		for i := range f.Containers {
			if f.Containers[i].State == Running {
				w.t.Fatalf("the sandbox went before container %s", f.Containers[i].Name)
			}
		}
	case EnsureImage:
		f.Images[op.Container] = Image{Attempt: op.Attempt}
	case CreateContainer:
		if latest := f.latest(op.Container); latest != nil && op.Attempt != latest.Attempt+1 {
			w.t.Fatalf("attempt %d of %s follows %d", op.Attempt, op.Container, latest.Attempt)
		}
		f.Containers = append(f.Containers, Container{
			ID: w.id(), Name: op.Container, Attempt: op.Attempt, Sandbox: op.SandboxAttempt, State: Created, Created: f.Now,
			Hash: Hash(&v1.Container{Name: op.Container, Image: "app"}), Backoff: op.Backoff,
		})
	case StartContainer:
		c := w.find(op.ID)
		if s := f.sandbox(); s == nil || s.State != Running || !s.Prepared {
			w.t.Fatalf("%s started without its sandbox", c.Name)
		}
		w.checkOrder(c)
		c.State, c.Started = Running, f.Now
		w.starts = append(w.starts, c.Name)
	case StopContainer:
		if f.Pod.DeletionTimestamp != nil && op.Deadline.After(w.dead) {
			w.dead = op.Deadline
		}
		w.exit(op.ID, 143)
	case RemoveContainer:
		w.find(op.ID).State = Gone
	case PreStop:
		f.PreStopped[op.ID] = true
	case AwaitEndpoints:
		f.EndpointsGone = true
	case RemoveVolumes:
		for i := range f.Containers {
			if f.Containers[i].State != Gone {
				w.t.Fatalf("the volumes went before container %s", f.Containers[i].Name)
			}
		}
		f.Volumes = false
	case Finish:
		f.Finished = true
	}
}

// checkOrder: a container starts only after all init containers before it have done their part in this sandbox.
func (w *world) checkOrder(c *Container) {
	if w.f.Pod.DeletionTimestamp != nil {
		w.t.Fatalf("%s started in a pod that is being deleted", c.Name)
	}
	p := planner{f: w.f, spec: &w.f.Pod.Spec}
	seen := w.initialized()
	for i := range w.f.Pod.Spec.InitContainers {
		init := &w.f.Pod.Spec.InitContainers[i]
		if init.Name == c.Name || seen {
			return
		}
		latest := p.current(init.Name, w.f.sandbox())
		sidecar := init.RestartPolicy != nil
		if latest == nil || sidecar && latest.State == Created || !sidecar && (latest.State == Running || latest.State == Created || latest.ExitCode != 0) {
			w.t.Fatalf("%s started before %s was through: %+v", c.Name, init.Name, latest)
		}
	}
}

// initialized reports whether a regular container ran in this sandbox, under any attempt: from then on a sidecar and a
// regular container that both ended come back independently of each other.
func (w *world) initialized() bool {
	for i := range w.f.Containers {
		k := &w.f.Containers[i]
		regular := slices.ContainsFunc(w.f.Pod.Spec.Containers, func(c v1.Container) bool { return c.Name == k.Name })
		if regular && k.Sandbox == w.f.sandbox().Attempt && !k.Started.IsZero() {
			return true
		}
	}
	return false
}

func (w *world) exit(id string, code int) {
	c := w.find(id)
	if c.State == Running {
		c.State, c.ExitCode, c.Finished = Exited, code, w.f.Now
	}
}

// settle applies plans, moving the clock to where they want to be woken, until one is empty. It fails when that takes too
// long; a pod whose containers all run is settled.
func (w *world) settle(limit int) {
	for range limit {
		p := w.compute()
		if p.Done || len(p.Ops) == 0 && p.Wake.IsZero() {
			return
		}
		if len(p.Ops) == 0 {
			w.f.Now = p.Wake
		}
		for _, op := range p.Ops {
			w.apply(op)
		}
		w.f.Now = w.f.Now.Add(time.Millisecond)
		w.finishInits()
	}
	w.t.Fatalf("not settled after %d plans; now\n%s", limit, w.compute())
}

// finishInits lets running init containers that are no sidecars succeed.
func (w *world) finishInits() {
	for i := range w.f.Pod.Spec.InitContainers {
		c := &w.f.Pod.Spec.InitContainers[i]
		if latest := w.f.latest(c.Name); c.RestartPolicy == nil && latest != nil && latest.State == Running {
			w.exit(latest.ID, 0)
		}
	}
}

// disturb does something that pods have to live with.
func (w *world) disturb() {
	running := w.f.running()
	switch rapid.SampledFrom([]string{"exit", "fail", "remove", "sandbox", "nothing"}).Draw(w.t, "disturbance") {
	case "exit":
		if len(running) > 0 {
			w.exit(rapid.SampledFrom(running).Draw(w.t, "which").ID, 0)
		}
	case "fail":
		if len(running) > 0 {
			w.exit(rapid.SampledFrom(running).Draw(w.t, "which").ID, 1)
		}
	case "remove":
		if len(running) > 0 {
			c := rapid.SampledFrom(running).Draw(w.t, "which")
			w.exit(c.ID, 137)
			w.find(c.ID).State = Gone
		}
	case "sandbox":
		if s := w.f.sandbox(); s != nil && s.State == Running {
			s.State = Exited
		}
	}
}

func TestPodsSettleAndASecondPlanIsEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 6).Draw(t, "disturbances") {
			w.settle(200)
			w.disturb()
		}
		w.settle(200)
		if p := w.compute(); len(p.Ops) > 0 {
			t.Fatalf("a second plan is not empty:\n%s", p)
		}
	})
}

// A machine that slept, or whose clock was set, finds its pods as they were.
func TestAJumpOfTheClockChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.settle(200)
		w.f.Now = w.f.Now.Add(time.Duration(rapid.Int64Range(-int64(48*time.Hour), int64(48*time.Hour)).Draw(t, "jump")))
		if p := w.compute(); len(p.Ops) > 0 {
			t.Fatalf("the clock jumped, and this is to be done:\n%s", p)
		}
	})
}

func TestDeletedPodsAreGoneWithinTheirGrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		// Stop anywhere on the way.
		for range rapid.IntRange(0, 12).Draw(t, "plans") {
			p := w.compute()
			for _, op := range p.Ops {
				if rapid.Bool().Draw(t, "done") {
					w.apply(op)
				}
			}
			w.finishInits()
		}
		if rapid.Bool().Draw(t, "disturbed") {
			w.disturb()
		}
		grace := int64(rapid.IntRange(0, 60).Draw(t, "grace"))
		at := metav1.NewTime(w.f.Now.Add(time.Duration(grace) * time.Second))
		w.f.Pod.DeletionTimestamp, w.f.Pod.DeletionGracePeriodSeconds = &at, &grace
		w.settle(60)
		if !w.done {
			t.Fatalf("not gone; now\n%s", w.compute())
		}
		if w.dead.After(at.Time) {
			t.Fatalf("a container was given until %v, the pod until %v", w.dead, at)
		}
	})
}

func TestStatusNeverLeavesATerminalPhase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		last := v1.PodStatus{}
		for range 30 {
			p := w.compute()
			status := Status(w.f, &p, &last)
			if (last.Phase == v1.PodSucceeded || last.Phase == v1.PodFailed) && status.Phase != last.Phase {
				t.Fatalf("%s after %s", status.Phase, last.Phase)
			}
			for i := range status.ContainerStatuses {
				if len(last.ContainerStatuses) > i && status.ContainerStatuses[i].RestartCount < last.ContainerStatuses[i].RestartCount {
					t.Fatalf("restart count fell: %+v after %+v", status.ContainerStatuses[i], last.ContainerStatuses[i])
				}
				if s := status.ContainerStatuses[i].State; s.Running == nil && s.Terminated == nil && s.Waiting == nil {
					t.Fatal("a container without a state")
				}
			}
			last = status
			w.f.Pod.Status = status
			for _, op := range p.Ops {
				w.apply(op)
			}
			w.finishInits()
			if !p.Wake.IsZero() && len(p.Ops) == 0 {
				w.f.Now = p.Wake
			}
			if rapid.IntRange(0, 3).Draw(t, "when") == 0 {
				w.disturb()
			}
		}
	})
}
