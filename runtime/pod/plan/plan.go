package plan

import (
	"fmt"
	"strings"
	"time"
)

// Kind is what an operation does.
type Kind string

// The operations. Each is done by one or two requests to the engine.
const (
	CreateSandbox   Kind = "create-sandbox"
	StartSandbox    Kind = "start-sandbox"
	PrepareSandbox  Kind = "prepare-sandbox"
	RemoveSandbox   Kind = "remove-sandbox"
	Source          Kind = "source-volumes"
	EnsureImage     Kind = "ensure-image"
	CreateContainer Kind = "create"
	StartContainer  Kind = "start"
	PostStart       Kind = "post-start"
	PreStop         Kind = "pre-stop"
	ResizeContainer Kind = "resize"
	StopContainer   Kind = "stop"
	RemoveContainer Kind = "remove"
	AwaitEndpoints  Kind = "await-endpoints"
	RemoveVolumes   Kind = "remove-volumes"
	Finish          Kind = "finish"
)

// Key identifies an operation across plans: what is in flight or failed is found again by it.
type Key struct {
	Kind   Kind
	Target string
}

func (k Key) String() string { return strings.TrimSpace(string(k.Kind) + " " + k.Target) }

// An Op is one operation that can start now.
type Op struct {
	Kind           Kind
	Container      string // its name in the pod's spec
	ID             string // of the engine's container
	Attempt        int
	Sandbox        string // id of the sandbox a container joins
	SandboxAttempt int
	Deadline       time.Time     // of a stop or its hook: when it has to be down
	Backoff        time.Duration // of a creation: the delay to remember
	// Quiet stops without preStop hook and events: nobody is left to see them.
	Quiet bool
	// Reason is the category of a stop ("Liveness", "Deleted"…), Cause the sentence for people.
	Reason string
	Cause  string
}

// Key returns the operation's identity.
func (o Op) Key() Key {
	switch o.Kind {
	case EnsureImage, CreateContainer:
		return Key{o.Kind, fmt.Sprintf("%s/%d", o.Container, o.Attempt)}
	case CreateSandbox:
		return Key{o.Kind, fmt.Sprint(o.Attempt)}
	case StartSandbox, PrepareSandbox, RemoveSandbox, StartContainer, PostStart, PreStop, ResizeContainer, StopContainer, RemoveContainer:
		return Key{o.Kind, o.ID}
	}
	return Key{Kind: o.Kind}
}

// String is the line of the operation in a plan.
func (o Op) String() string {
	var b strings.Builder
	b.WriteString(string(o.Kind))
	switch {
	case o.Container != "" && o.ID != "":
		fmt.Fprintf(&b, " %s (%s)", o.Container, o.ID)
	case o.Container != "":
		fmt.Fprintf(&b, " %s #%d", o.Container, o.Attempt)
	case o.ID != "":
		b.WriteString(" " + o.ID)
	case o.Kind == CreateSandbox:
		fmt.Fprintf(&b, " #%d", o.Attempt)
	}
	if o.Cause != "" {
		b.WriteString(": " + o.Cause)
	}
	return b.String()
}

// A Wait is something that has to happen before the pod can get on.
type Wait struct {
	Container string // empty: the pod
	Reason    string // as Kubernetes names it, or ours
	Message   string
	Until     time.Time // zero: until an event
	// Visible waits are shown as the waiting state of the container.
	Visible bool
}

// String is the line of the wait in a plan.
func (w Wait) String() string {
	s := "wait"
	if w.Container != "" {
		s += " " + w.Container
	}
	s += ": " + w.Reason
	if w.Message != "" {
		s += ": " + w.Message
	}
	return s
}

// A Plan is what can be done now and what can't yet.
type Plan struct {
	Ops   []Op
	Waits []Wait
	// Hurry holds stops in flight that have to end earlier than they were told.
	Hurry []Op
	// Cancel holds operations in flight that are no longer wanted.
	Cancel []Key
	// Wake is when the plan has to be made again without any event; zero for never.
	Wake time.Time
	// Verdict ends the pod; the status shows it.
	Verdict *Verdict
	// Terminal: nothing of the pod will be started again.
	Terminal bool
	// Done: nothing is left of the pod, neither here nor in the API.
	Done bool
}

// String is the whole plan, a line for each operation and each wait.
func (p Plan) String() string {
	var b strings.Builder
	for _, op := range p.Ops {
		fmt.Fprintln(&b, op)
	}
	for _, op := range p.Hurry {
		fmt.Fprintln(&b, "hurry", op)
	}
	for _, key := range p.Cancel {
		fmt.Fprintln(&b, "cancel", key)
	}
	for _, w := range p.Waits {
		fmt.Fprintln(&b, w)
	}
	if p.Done {
		fmt.Fprintln(&b, "done")
	}
	return b.String()
}
