package watch

import (
	"time"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/manifest"
	"skiff.local/skiff/watch/plan"
	"skiff.local/skiff/watch/source"
)

// state is what the loop knows. Only the loop touches it.
type state struct {
	snapshot source.Snapshot
	objects  []placed // what the sources want, in the order written
	listed   bool     // members says what the cluster holds
	away     bool     // the cluster did not answer the last time
	members  map[plan.Ref]plan.Member
	failed   map[plan.Ref]*failure
	problems map[string][]manifest.Problem // by unit, as reported
	missing  map[string]bool               // sources that are gone, as reported
	skipped  map[string]bool               // units, as reported
	kept     map[plan.Ref]string           // as reported
	twice    map[plan.Ref]bool             // as reported
	absent   map[plan.Ref]time.Time        // since when members are no longer in the sources
	images   map[string]string             // what images that moved mean now, by reference
	moved    map[string]move               // of these, what is still to be acted upon
	fresh    map[plan.Ref]bool             // made in this pass
	askAgain time.Time                     // when pods may have said what they run; zero for never

	badSync   map[string]bool // problems with annotations, as reported
	syncRules int             // how many rules the files were looked at for

	nextRetry  time.Time
	retryPause time.Duration
}

// placed is an object of the sources with its place in the cluster.
type placed struct {
	manifest.Object
	ref  plan.Ref
	unit string
	dir  string // where its file lies
}

// failure is why an object could not be applied.
type failure struct {
	hash    string
	message string
	retry   bool
}

func newState() *state {
	return &state{
		members: map[plan.Ref]plan.Member{}, failed: map[plan.Ref]*failure{}, problems: map[string][]manifest.Problem{},
		missing: map[string]bool{}, skipped: map[string]bool{}, kept: map[plan.Ref]string{}, twice: map[plan.Ref]bool{},
		absent: map[plan.Ref]time.Time{}, images: map[string]string{}, moved: map[string]move{}, fresh: map[plan.Ref]bool{},
	}
}

// broken lists the units whose content isn't known now.
func (st *state) broken() []string {
	var broken []string
	for _, unit := range st.snapshot.Units {
		// A file that is no manifest any more may be one that is being edited.
		if len(unit.Problems) > 0 || unit.Skipped != "" && st.hasMembersOf(unit.ID) {
			broken = append(broken, unit.ID)
		}
	}
	for _, src := range st.snapshot.Missing {
		broken = append(broken, src.ID())
	}
	return broken
}

func (st *state) hasMembersOf(unit string) bool {
	for _, member := range st.members {
		if member.Unit == unit {
			return true
		}
	}
	return false
}

func (st *state) desired() []plan.Desired {
	desired := make([]plan.Desired, len(st.objects))
	for i, obj := range st.objects {
		at := manifest.Problem{File: obj.Origin.File, Line: obj.Origin.Line}
		desired[i] = plan.Desired{Ref: obj.ref, Hash: obj.Hash, Unit: obj.unit, At: at.Position()}
	}
	return desired
}

// memberList is in no order: the plan sorts what comes out of it.
func (st *state) memberList() []plan.Member {
	members := make([]plan.Member, 0, len(st.members))
	for _, member := range st.members {
		members = append(members, member)
	}
	return members
}

// wakeAt is when the loop has to act although nothing happens; zero for never.
func (st *state) wakeAt() time.Time {
	at := st.nextRetry
	if !st.askAgain.IsZero() && (at.IsZero() || st.askAgain.Before(at)) {
		at = st.askAgain
	}
	for _, due := range st.absent {
		if at.IsZero() || due.Before(at) {
			at = due
		}
	}
	return at
}

// summary counts the state of the set, not what a pass did.
func (s *Set) summary() event.Summary {
	return event.Summary{Objects: len(s.state.objects), Failed: len(s.state.failed), Problems: len(s.state.problems), Kept: len(s.state.kept)}
}
