package watch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// pass brings the cluster in step with the files once. An error means that the cluster could not be asked; whatever is
// wrong with files or objects is reported by events instead.
func (s *Set) pass(ctx context.Context, c cause) (event.Summary, error) {
	clear(s.state.fresh)
	for image, id := range c.inbox.images {
		s.state.moved[image] = move{id: id, since: time.Now()}
	}
	s.endBuilds(c.inbox.built)
	s.load()
	s.reportFiles()
	if !s.state.listed {
		if err := s.list(ctx); err != nil {
			return event.Summary{}, err
		}
	}
	s.dropGone(c.inbox.gone)
	if len(c.inbox.gone) > 0 && c.burst == nil && !c.timer && len(s.state.moved) == 0 && len(c.inbox.built) == 0 {
		return event.Summary{}, nil // whoever deleted something meant it; the next save brings it back
	}
	if err := s.place(); err != nil {
		return event.Summary{}, err
	}
	s.startBuilds(ctx, c)
	s.syncFiles(c)
	summary, err := s.reconcile(ctx, c)
	if err != nil {
		return summary, err
	}
	s.scheduleRetry()
	totals := s.summary()
	summary.Objects, summary.Problems = totals.Objects, totals.Problems
	changed := summary.Created + summary.Configured + summary.Replaced + summary.Pruned
	if !c.once && (changed > 0 || summary.Failed > 0 && c.burst != nil) {
		s.emit(event.Event{Type: event.Applied, Summary: &summary, Took: time.Since(c.lastChange)})
	}
	return summary, s.moveImages(ctx) // what can't be moved now is kept for the pass that comes through
}

// dropGone notes that somebody else deleted members.
func (s *Set) dropGone(gone []plan.Member) {
	for _, was := range gone {
		ref := was.Ref
		if member, known := s.state.members[ref]; !known || member.UID != was.UID {
			continue // made anew since, or pruned
		}
		delete(s.state.members, ref)
		delete(s.state.failed, ref) // what could not be changed may be made anew
		s.emit(event.Event{Type: event.Object, Object: &ref, Action: event.Gone, Message: "deleted by someone else",
			Hint: "it is made again with the next save"})
	}
}

// load looks at the files, and has every directory watched before it is looked into.
func (s *Set) load() {
	if s.watcher == nil {
		s.state.snapshot = s.loader.Load(nil)
		return
	}
	dirs, looked := s.places.all(), map[string]bool{}
	s.state.snapshot = s.loader.Load(func(dir string) {
		if !looked[dir] {
			looked[dir], dirs[dir] = true, true
			if err := s.watcher.Add(dir); err != nil {
				s.log.Debug("watch a directory", "error", err)
			}
		}
	})
	s.watcher.Retain(dirs)
}

// list learns what the cluster holds of the set.
func (s *Set) list(ctx context.Context) error {
	s.target.Refresh()
	members, err := s.target.Members(ctx)
	if err != nil {
		return err
	}
	clear(s.state.members)
	for _, member := range members {
		s.state.members[member.Ref] = member
		s.follow.Known(member.Ref)
	}
	s.state.listed = true
	return nil
}

// place finds where every object goes. Objects of unknown kinds are reported and left out until their kind appears.
func (s *Set) place() error {
	var kinds []*unstructured.Unstructured
	for _, unit := range s.state.snapshot.Units {
		if len(unit.Problems) > 0 {
			continue
		}
		for _, obj := range unit.Objects {
			if obj.GetKind() == "CustomResourceDefinition" {
				kinds = append(kinds, obj.Unstructured)
			}
		}
	}
	s.target.Learn(kinds)
	s.state.objects = s.state.objects[:0]
	known := map[plan.Ref]bool{}
	refreshed := false
	for _, unit := range s.state.snapshot.Units {
		if len(unit.Problems) > 0 {
			continue
		}
		for _, obj := range unit.Objects {
			ref, err := s.target.Resolve(obj.Unstructured)
			if cluster.IsUnknownKind(err) && !refreshed {
				refreshed = true
				s.target.Refresh()
				ref, err = s.target.Resolve(obj.Unstructured)
			}
			if cluster.IsUnknownKind(err) {
				gvk := obj.GroupVersionKind()
				ref = plan.Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
				known[ref] = true
				s.fail(placed{Object: obj, ref: ref, unit: unit.ID, dir: unit.Dir}, s.target.Explain(context.Background(), cluster.Request{Object: obj.Unstructured, Ref: ref}, err))
				continue
			}
			if err != nil {
				return err
			}
			known[ref] = true
			s.state.objects = append(s.state.objects, placed{Object: obj, ref: ref, unit: unit.ID, dir: unit.Dir})
		}
	}
	for ref := range s.state.failed {
		if !known[ref] {
			delete(s.state.failed, ref)
		}
	}
	if err := s.replaceImages(); err != nil {
		return err
	}
	return s.stampConfigs()
}

// reconcile plans and carries out the plan, again as long as that helps: an object that failed may have waited for one
// that was sent after it, or for a name or port that a pruned one held.
func (s *Set) reconcile(ctx context.Context, c cause) (event.Summary, error) {
	var total event.Summary
	for round := 0; ; round++ {
		p := plan.Make(s.input(c, round, total.Pruned > 0))
		s.log.Debug("plan", "round", round, "plan", p.String())
		s.reportTwice(p)
		s.settle(&p, c)
		if round == 0 {
			total.Unchanged = p.Unchanged
			if c.first && s.config.Confirm != nil && !p.Empty() && !s.confirm(ctx, p) {
				return total, ErrDeclined
			}
		}
		failedBefore := len(s.state.failed)
		done, err := s.execute(ctx, p)
		total.Created += done.Created
		total.Configured += done.Configured
		total.Replaced += done.Replaced
		total.Pruned += done.Pruned
		total.Kept = len(p.Keep)
		total.Failed = len(s.state.failed)
		if err != nil || ctx.Err() != nil {
			return total, errors.Join(err, ctx.Err())
		}
		progress := done.Created + done.Configured + done.Replaced + done.Pruned
		hope := s.anyRetriable() || done.Pruned > 0 && len(s.state.failed) > 0
		if s.config.DryRun || progress == 0 || !hope || round > 0 && len(s.state.failed) >= failedBefore || round == 5 {
			return total, nil
		}
	}
}

// ErrDeclined says that the person did not want the changes that were shown.
var ErrDeclined = errors.New("nothing was changed")

// input is what the plan is made of. Pruned says that something was pruned in this pass, which may have held the name or
// port that an object was refused for.
func (s *Set) input(c cause, round int, pruned bool) plan.Input {
	in := plan.Input{
		Desired: s.state.desired(), Members: s.state.memberList(), Broken: s.state.broken(),
		Called: s.definition.called, PruneAll: s.definition.Prune == PruneAll,
		Again: map[plan.Ref]string{}, Hold: map[plan.Ref]bool{},
	}
	for _, obj := range s.state.objects {
		failed := s.state.failed[obj.ref]
		switch {
		case failed == nil || failed.hash != obj.Hash:
		case failed.retry:
			in.Again[obj.ref] = "it failed before"
		case round == 0 && c.touches(obj.Origin.File):
			in.Again[obj.ref] = "its file was saved again"
		case round > 0 && pruned:
			in.Again[obj.ref] = "something was pruned since it failed"
		default:
			in.Hold[obj.ref] = true
		}
	}
	s.awaitBuilds(&in)
	return in
}

// touches reports whether the burst contains a file of this name.
func (c cause) touches(name string) bool {
	if c.burst == nil {
		return false
	}
	if c.burst.Overflow {
		return true
	}
	base := filepath.Base(name)
	for path := range c.burst.Paths {
		if filepath.Base(path) == base {
			return true
		}
	}
	return false
}

// touchesAny reports whether something changed in one of these directories.
func (c cause) touchesAny(dirs map[string]bool) bool {
	if c.burst == nil || c.burst.Overflow {
		return true
	}
	for path := range c.burst.Paths {
		if dirs[path] || dirs[filepath.Dir(path)] {
			return true
		}
	}
	return false
}

// settle takes out of the plan what has left the sources only just now.
func (s *Set) settle(p *plan.Plan, c cause) {
	now := time.Now()
	if s.definition.Prune == PruneNone {
		p.Prune, p.Keep = nil, nil
	}
	waiting := map[plan.Ref]bool{}
	p.Prune = slices.DeleteFunc(p.Prune, func(op plan.Op) bool {
		due, known := s.state.absent[op.Ref]
		if !known {
			due = now.Add(s.config.Settle)
			if c.burst != nil {
				due = c.burst.Last.Add(s.config.Settle)
			}
			s.state.absent[op.Ref] = due
		}
		if c.once || !now.Before(due) {
			return false
		}
		waiting[op.Ref] = true
		return true
	})
	for ref := range s.state.absent {
		if !waiting[ref] {
			delete(s.state.absent, ref)
		}
	}
	s.reportKept(p)
}

func (s *Set) anyRetriable() bool {
	for _, failed := range s.state.failed {
		if failed.retry {
			return true
		}
	}
	return false
}

func (s *Set) scheduleRetry() {
	if !s.anyRetriable() {
		s.state.nextRetry, s.state.retryPause = time.Time{}, 0
		return
	}
	s.state.retryPause = min(max(2*s.state.retryPause, firstRetry), lastRetry)
	s.state.nextRetry = time.Now().Add(s.state.retryPause)
}

// fail records and reports that an object could not be applied. The same failure is reported once.
func (s *Set) fail(obj placed, reasons []cluster.Explanation) {
	first := reasons[0]
	message := first.Reason
	for _, more := range reasons[1:] {
		message += "; " + more.Reason
	}
	before := s.state.failed[obj.ref]
	retry := first.Retry
	s.state.failed[obj.ref] = &failure{hash: obj.Hash, message: message, retry: retry}
	if before != nil && before.message == message && before.hash == obj.Hash && retry {
		return
	}
	for i, reason := range reasons {
		ref := obj.ref
		line, column, found := obj.Origin.Locate(reason.Path)
		if reason.Key {
			line, column, found = obj.Origin.LocateKey(reason.Path)
		}
		if !found && reason.Path == "" {
			line, column = obj.Origin.Line, 0
		}
		if written, ok := obj.Origin.Text(reason.Path); ok && reason.Quote {
			reason.Hint = fmt.Sprintf("quote it: %q", written)
		}
		e := event.Event{Type: event.Object, Object: &ref, Action: event.Failed, File: obj.Origin.File, Line: line, Column: column,
			Message: reason.Reason, Hint: reason.Hint, Retry: retry, DryRun: s.config.DryRun}
		if i > 0 {
			e.Type = event.Problem
		}
		s.emit(e)
	}
}
