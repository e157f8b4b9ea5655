package watch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

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

// moveImages rolls the workloads whose images moved.
func (s *Set) moveImages(ctx context.Context, images map[string]string) error {
	for _, image := range slices.Sorted(maps.Keys(images)) {
		if s.state.images[image] == images[image] {
			continue // said by more than one, or built again to the same
		}
		for _, obj := range s.state.objects {
			if err := s.moveImage(ctx, obj, image, images[image]); err != nil {
				return err
			}
		}
		s.state.images[image] = images[image]
	}
	return nil
}

func (s *Set) moveImage(ctx context.Context, obj placed, image, id string) error {
	member, applied := s.state.members[obj.ref]
	path := templatePath(obj.Unstructured)
	if !applied || path == nil || obj.GetAnnotations()[annotationFollow] == "false" {
		return nil
	}
	containers := containersWith(podSpec(obj.Unstructured, path), image)
	if len(containers) == 0 || s.follow.Runs(obj.ref, containers, id) {
		return nil
	}
	ref := obj.ref
	e := event.Event{Type: event.Object, Object: &ref, Action: event.Restarted, Cause: fmt.Sprintf("%s is another image now (%s)", image, shortID(id))}
	switch obj.GetKind() {
	case "Job", "CronJob":
		return nil // what runs, runs to its end; the next run takes the new image
	case "Pod":
		// A pod can't be changed in place: it goes, and the retry of what failed makes it anew.
		if err := s.target.Prune(ctx, member, false); err != nil {
			return s.reportRestart(e, err)
		}
		delete(s.state.members, ref)
		s.state.failed[ref] = &failure{hash: obj.Hash, message: "is made anew", retry: true}
		s.scheduleRetry()
		return s.reportRestart(e, nil)
	}
	annotations := map[string]string{}
	for _, container := range containers {
		annotations[annotationImage+container] = strings.TrimPrefix(id, "sha256:")
	}
	live, err := s.target.Restart(ctx, obj.ref, obj.GetAPIVersion(), path, annotations)
	if err == nil {
		s.follow.Applied(obj.ref, live)
	}
	return s.reportRestart(e, err)
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
