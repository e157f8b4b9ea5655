// Package plan decides what to do for one pod. It is pure: it takes what was observed, the time included, and returns the
// operations that are possible now, what has to be waited for, and the status that the API should show. It neither logs
// nor asks a clock nor talks to anything, so that every decision can be read, tested and explained.
//
// The rules are kubelet's (computePodActions and its relatives in k8s.io/kubernetes/pkg/kubelet/kuberuntime), on facts that
// all survive a restart of the daemon: container labels, the engine's container states and the API object.
package plan

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
)

// State is what became of a container.
type State string

// The states. Gone is a container that the engine no longer has but whose end is known.
const (
	Created State = "created"
	Running State = "running"
	Exited  State = "exited"
	Gone    State = "gone"
)

// A Sandbox is one pause container of the pod.
type Sandbox struct {
	ID      string
	Attempt int
	State   State
	IPs     []string
	Created time.Time
	// Prepared: the pod's volumes have their content, files like /etc/hosts are written.
	Prepared bool
	// Unwritten: there is newer content than what the volumes have.
	Unwritten bool
}

// A Container is one container of the pod, running or not.
type Container struct {
	ID      string
	Name    string
	Attempt int // the restart count of the container's name when this one was made
	Sandbox int // the attempt of the sandbox it was made for
	State   State
	// StartError is why the engine could not start it; the container then counts as exited.
	StartError string
	ExitCode   int
	OOMKilled  bool
	Message    string // termination message
	Created    time.Time
	Started    time.Time
	Finished   time.Time
	Hash       string // of the spec it was made from
	Image      string // as the engine names it
	ImageID    string
	// Backoff is the delay that preceded this container's start; it is kept in a label, so that the next delay can be
	// told from the container alone.
	Backoff time.Duration
}

// ended is when the container stopped. One that never started has no such time: its creation stands in.
func (c *Container) ended() time.Time {
	if c.Finished.IsZero() || c.Finished.Before(c.Created) {
		return c.Created
	}
	return c.Finished
}

// Result is what a probe has shown so far.
type Result int

// The results.
const (
	Unknown Result = iota
	Success
	Failure
)

// Probes are the latest results of one container's probes.
type Probes struct {
	Liveness, Readiness, Startup Result
	LivenessMessage              string
	StartupMessage               string
}

// Hook is the state of a container's postStart hook.
type Hook int

// The states of a hook. HookNone stands for containers that were running when the daemon started: whether their hook ran
// is not known, and it isn't repeated.
const (
	HookNone Hook = iota
	HookPending
	HookDone
	HookFailed
)

// An Image says that a container's image was found for one attempt.
type Image struct {
	Attempt int
	ID      string
}

// A Fault is the last failure of an operation.
type Fault struct {
	Reason  string // as Kubernetes names it
	Message string
	At      time.Time
	Count   int // in a row
}

// InFlight is an operation that was started and has not ended.
type InFlight struct {
	Since    time.Time
	Deadline time.Time // of a stop
}

// A Verdict ends a pod for good although its containers may still run: eviction, an exceeded deadline.
type Verdict struct {
	Reason, Message string
	// Disruption is the reason of the DisruptionTarget condition; empty for none.
	Disruption string
	Exceeded   bool // activeDeadlineSeconds
	// Immediate gives containers no time: the node needs what they have.
	Immediate bool
}

// A Resize is a change of resources that has to reach a running container.
type Resize struct {
	// Restart: the container's resize policy wants it started anew.
	Restart bool
}

// Facts is everything a plan is made from.
type Facts struct {
	Now time.Time
	Pod *v1.Pod
	// Gone: the API no longer has the pod, whatever is left of it must go.
	Gone bool

	Sandboxes  []Sandbox
	Containers []Container
	// Volumes: engine volumes of the pod may exist.
	Volumes bool
	// Sourced: every volume's content is at hand.
	Sourced bool
	// Stale: what the content came from may have changed since.
	Stale  bool
	Images map[string]Image
	Probes map[string]Probes // by container id
	Hooks  map[string]Hook   // by container id
	// PreStopped holds ids of sidecars whose preStop hook is over.
	PreStopped map[string]bool
	// RestartAfter holds ids of containers that are being stopped only to be started anew, whatever the restart policy.
	RestartAfter map[string]bool
	Faults       map[Key]Fault
	InFlight     map[Key]InFlight
	// EndpointsGone: no Service sends traffic to the pod any more, or there was nothing to wait for.
	EndpointsGone bool
	// Reclaim: the disk of the node is short, nothing that is dead is kept for its logs.
	Reclaim bool
	// Finished: the API object has been released.
	Finished bool
	Verdict  *Verdict
	// Late names containers that can only be created once the sandbox is up: they need its address or a path in a volume.
	Late map[string]bool
	// Resize names running containers whose resources differ from what the pod asks for.
	Resize map[string]Resize
	// HostIPs of the node, for the status.
	HostIPs []string
}

// sandbox is the newest one that still exists, or nil.
func (f *Facts) sandbox() *Sandbox {
	var newest *Sandbox
	for i := range f.Sandboxes {
		if s := &f.Sandboxes[i]; s.State != Gone && (newest == nil || s.Attempt > newest.Attempt) {
			newest = s
		}
	}
	return newest
}

// lastSandboxAttempt is the highest attempt that left a trace, or -1.
func (f *Facts) lastSandboxAttempt() int {
	last := -1
	for i := range f.Sandboxes {
		last = max(last, f.Sandboxes[i].Attempt)
	}
	for i := range f.Containers {
		last = max(last, f.Containers[i].Sandbox)
	}
	return last
}

// history returns the containers of a name, newest first.
func (f *Facts) history(name string) []*Container {
	var list []*Container
	for i := range f.Containers {
		if f.Containers[i].Name == name {
			list = append(list, &f.Containers[i])
		}
	}
	slices.SortStableFunc(list, func(a, b *Container) int { return b.Attempt - a.Attempt })
	return list
}

// latest is the newest container of a name, or nil.
func (f *Facts) latest(name string) *Container {
	if list := f.history(name); len(list) > 0 {
		return list[0]
	}
	return nil
}

// running returns the running containers, in a fixed order.
func (f *Facts) running() []*Container {
	var list []*Container
	for i := range f.Containers {
		if f.Containers[i].State == Running {
			list = append(list, &f.Containers[i])
		}
	}
	slices.SortFunc(list, func(a, b *Container) int {
		if a.Name != b.Name {
			return compare(a.Name, b.Name)
		}
		return a.Attempt - b.Attempt
	})
	return list
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Sort puts what was collected from maps into a fixed order, which the plan then follows.
func (f *Facts) Sort() {
	slices.SortFunc(f.Sandboxes, func(a, b Sandbox) int { return a.Attempt - b.Attempt })
	slices.SortFunc(f.Containers, func(a, b Container) int {
		if a.Name != b.Name {
			return compare(a.Name, b.Name)
		}
		return a.Attempt - b.Attempt
	})
}
