package daemon

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"skiff.local/skiff/runtime/docker"
)

// thaw lets what `skiff pause` froze go on, before anything probes it or asks the relay: any start ends a pause.
func thaw(ctx context.Context, engine *docker.Engine, profile string) error {
	containers, err := engine.ListContainers(ctx, docker.ListOptions{Labels: docker.ProfileLabels(profile, ""), RunningOnly: true})
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallelStops)
	for _, c := range containers {
		if c.Status != docker.StatusPaused {
			continue
		}
		group.Go(func() error {
			err := engine.UnpauseContainer(ctx, c.ID)
			if errors.Is(err, docker.ErrNotFound) || errors.Is(err, docker.ErrConflict) {
				return nil // it ended meanwhile
			}
			return err
		})
	}
	return group.Wait()
}
