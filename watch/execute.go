package watch

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// inFlight is how many objects of one step are sent at a time. Chosen: two cores serve no more than that any faster.
const inFlight = 8

// pruneRetry is when a deletion that was refused is tried again. Chosen.
const pruneRetry = 5 * time.Second

// execute carries out a plan. It fails only if the cluster can't be asked.
func (s *Set) execute(ctx context.Context, p plan.Plan) (event.Summary, error) {
	var done event.Summary
	if p.Empty() {
		return done, nil
	}
	remembered := s.config.DryRun
	for _, step := range p.Steps {
		if !remembered {
			// The record lies in the set's namespace, which may be one that this very plan creates.
			switch err := s.target.Remember(ctx, s.memberRefs(p)); {
			case err == nil:
				remembered = true
			case apierrors.IsNotFound(err) && step.Name == "namespaces":
			case apierrors.IsNotFound(err):
				return done, s.failAll(p, err)
			default:
				return done, err
			}
		}
		if err := s.executeStep(ctx, step, &done); err != nil {
			return done, err
		}
	}
	for _, op := range p.Prune {
		if err := s.prune(ctx, op, &done); err != nil {
			return done, err
		}
	}
	if len(p.Prune) > 0 && !s.config.DryRun {
		if err := s.target.Forget(ctx, s.memberRefs(plan.Plan{})); err != nil {
			s.log.Warn("shrink the set's record", "error", err) // a record that covers too much does no harm
		}
	}
	return done, nil
}

// failAll reports every object of a plan that can't even begin, because the set's own namespace is missing.
func (s *Set) failAll(p plan.Plan, err error) error {
	for _, step := range p.Steps {
		for _, op := range step.Ops {
			obj := s.state.objects[op.Index]
			s.fail(obj, s.target.Explain(context.Background(), cluster.Request{Object: obj.Unstructured, Ref: obj.ref}, err))
		}
	}
	return nil
}

// memberRefs are all objects that are members once the plan is carried out.
func (s *Set) memberRefs(p plan.Plan) []plan.Ref {
	refs := make([]plan.Ref, 0, len(s.state.members)+p.Changes())
	for ref := range s.state.members {
		refs = append(refs, ref)
	}
	for _, step := range p.Steps {
		for _, op := range step.Ops {
			refs = append(refs, op.Ref)
		}
	}
	return refs
}

// executeStep sends the objects of a step, begun in the order written, and waits for the kinds among them.
func (s *Set) executeStep(ctx context.Context, step plan.Step, done *event.Summary) error {
	var mu sync.Mutex // guards done and the loop's state while several sends are under way
	var kinds []string
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for _, op := range step.Ops {
		if groupCtx.Err() != nil {
			break
		}
		obj := s.state.objects[op.Index]
		group.Go(func() error {
			begun := time.Now()
			request := cluster.Request{Object: obj.Unstructured, Ref: obj.ref, Hash: obj.Hash, Unit: obj.unit,
				DryRun: s.config.DryRun, TakeOver: s.definition.TakeOver}
			result, err := s.target.Apply(groupCtx, request)
			if err != nil && (groupCtx.Err() != nil || cluster.Unreachable(err)) {
				return err
			}
			var reasons []cluster.Explanation
			if err != nil {
				reasons = s.target.Explain(groupCtx, request, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				done.Count(event.Failed)
				s.fail(obj, reasons)
				return nil
			}
			s.succeed(obj, op, result, begun, done)
			if plan.IsKind(obj.ref) && result.Action != cluster.Unchanged {
				kinds = append(kinds, obj.ref.Name)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(kinds) == 0 || s.config.DryRun {
		return nil
	}
	for _, name := range kinds {
		if err := s.target.AwaitKind(ctx, name); err != nil {
			s.emit(event.Event{Type: event.Note, Message: "CustomResourceDefinition " + name + ": " + err.Error()})
		}
	}
	s.target.Refresh()
	return nil
}

func (s *Set) succeed(obj placed, op plan.Op, result cluster.Result, begun time.Time, done *event.Summary) {
	delete(s.state.failed, obj.ref)
	delete(s.state.kept, obj.ref)
	if !s.config.DryRun {
		s.state.members[obj.ref] = result.Member
	}
	action := event.Action(result.Action)
	s.state.fresh[obj.ref] = action == event.Created || action == event.Replaced
	done.Count(action)
	ref := obj.ref
	s.emit(event.Event{Type: event.Object, Object: &ref, Action: action, Fields: result.Fields, Cause: op.Cause, Notes: result.Notes,
		File: obj.Origin.File, Line: obj.Origin.Line, Took: time.Since(begun), DryRun: s.config.DryRun})
	switch {
	case s.config.DryRun:
	case action == event.Unchanged:
		s.follow.Known(obj.ref) // a file that was renamed: that what is in it is ready is no news
	default:
		s.follow.Applied(obj.ref, result.Live)
	}
}

func (s *Set) prune(ctx context.Context, op plan.Op, done *event.Summary) error {
	begun := time.Now()
	member := s.state.members[op.Ref]
	if !s.config.DryRun {
		s.follow.Pruned(op.Ref)
	}
	err := s.target.Prune(ctx, member, s.config.DryRun)
	if err != nil && (ctx.Err() != nil || cluster.Unreachable(err)) {
		return err
	}
	ref := op.Ref
	e := event.Event{Type: event.Object, Object: &ref, Action: event.Pruned, Cause: op.Cause, Took: time.Since(begun), DryRun: s.config.DryRun}
	if err != nil {
		e.Action, e.Message, e.Retry = event.Failed, err.Error(), true
		s.state.absent[op.Ref] = time.Now().Add(pruneRetry)
	} else if !s.config.DryRun {
		delete(s.state.members, op.Ref)
	}
	done.Count(e.Action)
	s.emit(e)
	return nil
}
