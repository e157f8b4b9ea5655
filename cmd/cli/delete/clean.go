package delete

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

// Engine is what cleaning needs of the Docker Engine.
type Engine interface {
	ListContainers(ctx context.Context, opts docker.ListOptions) ([]docker.ContainerSummary, error)
	RemoveContainer(ctx context.Context, id string, opts docker.RemoveOptions) error
	ListVolumes(ctx context.Context, labels map[string]string) ([]docker.Volume, error)
	RemoveVolume(ctx context.Context, name string, force bool) error
	ListNetworks(ctx context.Context, labels map[string]string) ([]docker.Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	image.Remover
}

// Removed counts what Clean removed, and the networks that the engine holds back although no container is on them.
type Removed struct{ Containers, Volumes, Networks, Images, Held int }

func (r Removed) String() string {
	parts := []string{count(r.Containers, "container"), count(r.Volumes, "volume"), count(r.Networks, "network")}
	if r.Images > 0 {
		parts = append(parts, count(r.Images, "image"))
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// parallelRemovals is how many containers are removed at a time. Chosen: the engine serialises most of it anyway.
const parallelRemovals = 8

// Clean removes everything in the engine that carries the profile's label. It goes by labels alone, so it also finds
// what a daemon that was killed has left. Whatever vanished meanwhile counts as removed. A network that the engine holds back
// by mistake is nothing to keep a cluster for: it is only counted.
func Clean(ctx context.Context, engine Engine, profile string) (Removed, error) {
	var removed Removed
	labels := docker.ProfileLabels(profile, "")
	containers, err := engine.ListContainers(ctx, docker.ListOptions{Labels: labels})
	if err != nil {
		return removed, err
	}
	// Containers that joined a sandbox's network go first, or their namespaces go from under them.
	for _, sandbox := range []bool{false, true} {
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(parallelRemovals)
		if sandbox {
			group.SetLimit(docker.DetachParallel)
		}
		for _, c := range containers {
			if (c.Labels[docker.LabelRole] == string(docker.RoleSandbox)) != sandbox {
				continue
			}
			removed.Containers++
			group.Go(func() error {
				return gone(engine.RemoveContainer(groupCtx, c.ID, docker.RemoveOptions{Force: true, Volumes: true}))
			})
		}
		if err := group.Wait(); err != nil {
			return removed, err
		}
	}
	volumes, err := engine.ListVolumes(ctx, labels)
	if err != nil {
		return removed, err
	}
	for _, v := range volumes {
		if err := gone(engine.RemoveVolume(ctx, v.Name, true)); err != nil {
			return removed, err
		}
		removed.Volumes++
	}
	networks, err := engine.ListNetworks(ctx, labels)
	if err != nil {
		return removed, err
	}
	for _, n := range networks {
		switch err := gone(engine.RemoveNetwork(ctx, n.ID)); {
		case errors.Is(err, docker.ErrLostCount):
			removed.Held++
		case err != nil:
			return removed, err
		default:
			removed.Networks++
		}
	}
	removed.Images, err = cleanImages(ctx, engine)
	return removed, err
}

// cleanImages removes the images that skiff loaded, unless another profile still uses the engine.
func cleanImages(ctx context.Context, engine Engine) (int, error) {
	others, err := engine.ListContainers(ctx, docker.ListOptions{Labels: map[string]string{docker.LabelProfile: ""}})
	if err != nil || len(others) > 0 {
		return 0, err
	}
	return image.RemoveOwn(ctx, engine)
}

func gone(err error) error {
	if errors.Is(err, docker.ErrNotFound) {
		return nil
	}
	return err
}
