package watch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/event"
)

const (
	// annotationFollow set to "false" keeps a workload's pods when their image's tag moves.
	annotationFollow = "skiff.local/follow-image"
	// annotationImage and a container's name, on a pod template, is the image that the tag meant when it moved.
	annotationImage = "image.skiff.local/"
)

// ImageMoved tells the set that an image reference means another image now, as after `docker build -t app .`. Workloads
// of the set that run it get new pods, unless they opt out. It may be called from any goroutine and returns at once.
func (s *Set) ImageMoved(reference, id string) {
	s.post(func(in *inbox) {
		if in.images == nil {
			in.images = map[string]string{}
		}
		in.images[reference] = id
	})
}

const (
	// sayTime is how long to wait for pods that are being started to say which image they run, askAgain how often to look.
	// Chosen: a pod says so within a second, and one that has not in ten is better replaced.
	sayTime  = 10 * time.Second
	askAgain = 250 * time.Millisecond
)

// move is an image that moved, on its way to the workloads that use it.
type move struct {
	id    string
	since time.Time
}

// moveImages rolls the workloads whose images moved. Moves that can't be decided yet stay for the next pass.
func (s *Set) moveImages(ctx context.Context) error {
	s.state.askAgain = time.Time{}
	for _, image := range slices.Sorted(maps.Keys(s.state.moved)) {
		m := s.state.moved[image]
		decided := true
		if s.state.images[image] != m.id { // not said by more than one, or built again to the same
			for _, obj := range s.state.objects {
				done, err := s.moveImage(ctx, obj, image, m)
				if err != nil {
					return err
				}
				decided = decided && done
			}
		}
		if !decided {
			s.state.askAgain = time.Now().Add(askAgain)
			continue
		}
		s.state.images[image] = m.id
		delete(s.state.moved, image)
	}
	return nil
}

// moveImage gives a workload new pods if it has to have some, and reports whether that is decided.
func (s *Set) moveImage(ctx context.Context, obj placed, image string, m move) (decided bool, err error) {
	id := m.id
	member, applied := s.state.members[obj.ref]
	path := templatePath(obj.Unstructured)
	if !applied || path == nil || obj.GetAnnotations()[annotationFollow] == "false" {
		return true, nil
	}
	containers := containersWith(podSpec(obj.Unstructured, path), image)
	if len(containers) == 0 || s.state.fresh[obj.ref] {
		return true, nil // what was made after the image moved starts with it
	}
	switch runs, certain := s.follow.Runs(obj.ref, containers, id); {
	case runs:
		return true, nil
	case !certain && !s.config.Once && time.Since(m.since) < sayTime:
		return false, nil // a run that ends here can't wait: pods too many are better than pods of the old image
	}
	ref := obj.ref
	e := event.Event{Type: event.Object, Object: &ref, Action: event.Restarted, Cause: fmt.Sprintf("%s is another image now (%s)", image, shortID(id))}
	switch obj.GetKind() {
	case "Job", "CronJob":
		return true, nil // what runs, runs to its end; the next run takes the new image
	case "Pod":
		// A pod can't be changed in place: it goes, and the retry of what failed makes it anew.
		if err := s.target.Prune(ctx, member, false); err != nil {
			return true, s.reportRestart(e, err)
		}
		delete(s.state.members, ref)
		s.state.failed[ref] = &failure{hash: obj.Hash, message: "is made anew", retry: true}
		s.scheduleRetry()
		return true, s.reportRestart(e, nil)
	}
	annotations := map[string]string{}
	for _, container := range containers {
		annotations[annotationImage+container] = strings.TrimPrefix(id, "sha256:")
	}
	live, changed, err := s.target.Restart(ctx, obj.ref, obj.GetAPIVersion(), path, annotations)
	if err == nil && !changed {
		return true, nil // it was told before, by another run
	}
	if err == nil {
		s.follow.Applied(obj.ref, live)
	}
	return true, s.reportRestart(e, err)
}

func (s *Set) reportRestart(e event.Event, err error) error {
	if err != nil {
		if cluster.Unreachable(err) {
			return err
		}
		e.Action, e.Message = event.Failed, err.Error()
	}
	s.emit(e)
	return nil
}

func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}
