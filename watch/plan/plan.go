// Package plan decides what has to be done so that a cluster holds what the sources say: which objects to send, in
// which order, and which to prune. It is pure, and every decision carries its reason.
package plan

import (
	"fmt"
	"sort"
	"strings"
)

// Ref names an object independently of its API version.
type Ref struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is how the object is called in messages: Deployment shop/web.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

func (r Ref) less(other Ref) bool {
	if r.Group != other.Group {
		return r.Group < other.Group
	}
	if r.Kind != other.Kind {
		return r.Kind < other.Kind
	}
	if r.Namespace != other.Namespace {
		return r.Namespace < other.Namespace
	}
	return r.Name < other.Name
}

// Desired is an object that the sources hold. The index in Input.Desired identifies it to the caller.
type Desired struct {
	Ref  Ref
	Hash string
	Unit string // identity of the unit that it was written in
	At   string // position for messages
}

// Member is an object of the set that the cluster holds.
type Member struct {
	Ref  Ref
	Hash string // of the content that was applied last, "" if unknown
	Unit string
	UID  string
	// Keep says why it must not be pruned, "" if it may.
	Keep string
}

// Input is one observation of the sources and the cluster.
type Input struct {
	Desired []Desired // in the order written
	Members []Member
	// Called is how messages name a unit; nil calls it by its identity.
	Called func(unit string) string
	// Broken are the units, or directories of units, whose content isn't known now.
	Broken []string
	// PruneAll lets objects go that hold data or other objects.
	PruneAll bool
	// Again are objects to send although they did not change, with the reason.
	Again map[Ref]string
	// Hold are objects not to send although they changed: they were refused as they are.
	Hold map[Ref]bool
}

// Op is one thing to do to one object, and why.
type Op struct {
	Ref   Ref
	Index int // into Input.Desired, -1 for prunes
	Cause string
	// Unread says that an object is kept because what it came from can't be read now.
	Unread bool
	// Awaits names the unit that must be readable before it is certain that an object of another one is gone.
	Awaits string
}

// Step groups objects that may be sent at the same time. A step begins when the one before it has ended.
type Step struct {
	Name string
	Ops  []Op
}

// Plan is what to do. Prune comes after all steps, in its order.
type Plan struct {
	Steps     []Step
	Prune     []Op
	Keep      []Op // what would be pruned if nothing spoke against it
	Unchanged int
	Held      int
	// Twice are objects that are written more than once: the first one counts.
	Twice []Duplicate
}

// Duplicate is an object that is written a second time.
type Duplicate struct {
	First, Second int // into Input.Desired
}

// Make computes the plan.
func Make(in Input) Plan {
	var p Plan
	members := make(map[Ref]Member, len(in.Members))
	for _, member := range in.Members {
		members[member.Ref] = member
	}
	desired := make(map[Ref]int, len(in.Desired))
	steps := make([]Step, len(phases)+2)
	for i, d := range in.Desired {
		if first, twice := desired[d.Ref]; twice {
			p.Twice = append(p.Twice, Duplicate{First: first, Second: i})
			continue
		}
		desired[d.Ref] = i
		if in.Hold[d.Ref] {
			p.Held++
			continue
		}
		cause := ""
		member, known := members[d.Ref]
		switch again := in.Again[d.Ref]; {
		case !known:
			cause = "not in the cluster yet"
		case again != "":
			cause = again
		case member.Hash != d.Hash:
			cause = "changed in " + d.At
		case member.Unit != d.Unit:
			// Noted in the cluster, because what its file can't say while it is broken must not be taken for gone.
			cause = "moved to " + d.At
		default:
			p.Unchanged++
			continue
		}
		n := phase(d.Ref)
		steps[n].Ops = append(steps[n].Ops, Op{Ref: d.Ref, Index: i, Cause: cause})
	}
	for n, step := range steps {
		if len(step.Ops) > 0 {
			step.Name = phaseName(n)
			p.Steps = append(p.Steps, step)
		}
	}
	p.prune(in, desired)
	return p
}

func (p *Plan) prune(in Input, desired map[Ref]int) {
	broken := newBrokenUnits(in)
	for _, member := range in.Members {
		if _, wanted := desired[member.Ref]; wanted {
			continue
		}
		op := Op{Ref: member.Ref, Index: -1, Cause: "no longer in " + in.called(member.Unit)}
		unit := broken.covers(member.Unit)
		switch {
		case unit != "":
			op.Cause, op.Unread = in.called(unit)+" can't be read now", true
		case broken.stray != "":
			op.Awaits = in.called(broken.stray)
			op.Cause = op.Awaits + " can't be read and might hold it now"
		default:
			reason := keepReason(member, in)
			if reason == "" {
				p.Prune = append(p.Prune, op)
				continue
			}
			op.Cause = reason
		}
		p.Keep = append(p.Keep, op)
	}
	byPhase := func(ops []Op) {
		sort.SliceStable(ops, func(i, j int) bool {
			// What was created last goes first.
			if a, b := phase(ops[i].Ref), phase(ops[j].Ref); a != b {
				return a > b
			}
			return ops[i].Ref.less(ops[j].Ref)
		})
	}
	byPhase(p.Prune)
	byPhase(p.Keep)
}

func (in Input) called(unit string) string {
	switch {
	case unit == "":
		return "the sources"
	case in.Called == nil:
		return unit
	}
	return in.Called(unit)
}

func keepReason(member Member, in Input) string {
	if member.Keep != "" {
		return member.Keep
	}
	if !in.PruneAll {
		return holdsMore(member.Ref)
	}
	return ""
}

// holdsMore protects what can't be made again by saving a file: data, and everything inside a namespace or of a kind.
func holdsMore(ref Ref) string {
	switch {
	case ref.Group == "" && ref.Kind == "PersistentVolumeClaim":
		return "it holds data; --prune=all removes it"
	case ref.Group == "" && ref.Kind == "Namespace":
		return "it may hold other objects; --prune=all removes it"
	case ref.Group == "apiextensions.k8s.io" && ref.Kind == "CustomResourceDefinition":
		return "every object of its kind would go with it; --prune=all removes it"
	}
	return ""
}

type brokenUnits struct {
	units []string
	// stray is a broken unit that nothing in the cluster came from: an object may have moved into it.
	stray string
}

func newBrokenUnits(in Input) brokenUnits {
	b := brokenUnits{units: in.Broken}
	for _, unit := range in.Broken {
		known := false
		for _, member := range in.Members {
			if within(member.Unit, unit) {
				known = true
				break
			}
		}
		if !known {
			b.stray = unit
		}
	}
	return b
}

func (b brokenUnits) covers(unit string) string {
	for _, broken := range b.units {
		if within(unit, broken) {
			return broken
		}
	}
	return ""
}

func within(unit, outer string) bool {
	return unit == outer || strings.HasPrefix(unit, outer+"/")
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && len(p.Prune) == 0 }

// Changes counts the objects that the plan touches.
func (p Plan) Changes() int {
	n := len(p.Prune)
	for _, step := range p.Steps {
		n += len(step.Ops)
	}
	return n
}

// String is the plan as text, for tests and for the log.
func (p Plan) String() string {
	var b strings.Builder
	for _, step := range p.Steps {
		fmt.Fprintf(&b, "%s:\n", step.Name)
		for _, op := range step.Ops {
			fmt.Fprintf(&b, "  apply %s: %s\n", op.Ref, op.Cause)
		}
	}
	for _, op := range p.Prune {
		fmt.Fprintf(&b, "prune %s: %s\n", op.Ref, op.Cause)
	}
	for _, op := range p.Keep {
		fmt.Fprintf(&b, "keep %s: %s\n", op.Ref, op.Cause)
	}
	for _, twice := range p.Twice {
		fmt.Fprintf(&b, "twice: %d and %d\n", twice.First, twice.Second)
	}
	if p.Unchanged > 0 {
		fmt.Fprintf(&b, "unchanged: %d\n", p.Unchanged)
	}
	return b.String()
}
