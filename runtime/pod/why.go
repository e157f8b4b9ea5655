package pod

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/volume"
)

// Why explains a pod: what is being done, what is waited for, and what failed last.
type Why struct {
	Namespace, Name string
	Phase           string
	At              time.Time // when the plan was made
	Running         []Step
	Waits           []plan.Wait
	Failures        []Failed
	// Next is when the worker looks again without any event; zero: only when something happens.
	Next time.Time
}

// A Step is an operation under way.
type Step struct {
	What  string
	Since time.Time
}

// Failed is the last failure of an operation.
type Failed struct {
	What, Reason, Message string
	At                    time.Time
	Count                 int
}

// Why returns the newest explanation.
func (w *Worker) Why() Why {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// A View is a snapshot of the pod for those who serve its logs, streams and statistics.
type View struct {
	Pod        *v1.Pod
	Containers []plan.Container // sorted by name and attempt
	Sandbox    plan.Sandbox     // zero when there is none
	Volumes    []volume.Volume

	waiting map[string]bool // containers whose status is Waiting
}

// View returns the newest snapshot.
func (w *Worker) View() View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// Waste reports whether the pod has something that Reclaim would remove.
func (v *View) Waste() bool {
	over := v.Pod != nil && podutil.IsPodPhaseTerminal(v.Pod.Status.Phase)
	for i, c := range v.Containers {
		if replaced := i+1 < len(v.Containers) && v.Containers[i+1].Name == c.Name; c.State == plan.Exited && (over || replaced) {
			return true
		}
	}
	return false
}

// Container finds the newest container of a name that has run, or with previous the one before it. While a restart is
// waited for, the newest is also the previous one: it is what the status shows as the last state.
func (v *View) Container(name string, previous bool) (plan.Container, bool) {
	waiting := v.waiting[name]
	for i := len(v.Containers) - 1; i >= 0; i-- {
		c := v.Containers[i]
		switch {
		case c.Name != name:
		case c.State == plan.Created:
			waiting = true
		case !previous, waiting && c.State != plan.Running:
			return c, true
		default:
			previous = false
		}
	}
	return plan.Container{}, false
}

// explain publishes what the plan says.
func (w *Worker) explain(facts *plan.Facts, next *plan.Plan) {
	view := View{Pod: w.pod, Containers: facts.Containers, Volumes: w.volumes, waiting: map[string]bool{}}
	for _, s := range facts.Sandboxes {
		if s.State != plan.Gone {
			view.Sandbox = s
		}
	}
	for i := range next.Waits {
		if wait := &next.Waits[i]; wait.Visible {
			view.waiting[wait.Container] = true
		}
	}
	why := Why{
		Namespace: w.pod.Namespace, Name: w.pod.Name, Phase: string(w.pod.Status.Phase), At: time.Now(),
		Waits: slices.Clone(next.Waits), Next: next.Wake,
	}
	for key, f := range w.flights {
		why.Running = append(why.Running, Step{What: key.String(), Since: f.since})
	}
	slices.SortFunc(why.Running, func(a, b Step) int { return a.Since.Compare(b.Since) })
	for key, f := range w.faults {
		why.Failures = append(why.Failures, Failed{What: key.String(), Reason: f.Reason, Message: f.Message, At: f.At, Count: f.Count})
	}
	slices.SortFunc(why.Failures, func(a, b Failed) int { return b.At.Compare(a.At) })
	w.mu.Lock()
	w.why, w.view = why, view
	w.mu.Unlock()
	if !w.explained {
		w.explained = true
		close(w.known)
	}
}
