package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/runtime/docker"
)

const (
	// stopGrace is what a stop gives each container between SIGTERM and SIGKILL. Chosen: a developer who types stop
	// waits for it; the grace of the pod's own manifest counts when the pod is deleted.
	stopGrace = 5 * time.Second
	// parallelStops bounds how many containers are stopped at a time. Chosen: they mostly wait.
	parallelStops = 32
)

// errStopped is why a start is abandoned.
var errStopped = errors.New("the cluster is being stopped")

// awaitReady returns when the cluster's DNS has answered once.
func (d *daemon) awaitReady(ctx context.Context) error {
	select {
	case <-d.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopWorkloads does what a stop asks for and then ends the daemon; the answer is written before the end.
func (d *daemon) stopWorkloads(ctx context.Context, r client.StopRequest) error {
	if !r.KeepPods {
		if err := d.stopContainers(ctx, r.Now); err != nil {
			return err
		}
	}
	select {
	case d.stop <- r:
	default: // somebody else's stop is under way
	}
	return nil
}

// stopContainers stops the pods' containers, then what they share, then the relay. They are kept: the next start
// brings every pod back from them, as a kubelet does after its machine was off.
func (d *daemon) stopContainers(ctx context.Context, now bool) error {
	// A start that is under way would start behind our back what is stopped here.
	p, err := d.awaitNode(ctx)
	if err != nil {
		return err
	}
	d.abandonStart(errStopped) // what it still waits for does not come any more
	p.leave()                  // or the node would start them again
	for _, role := range []docker.Role{docker.RoleContainer, docker.RoleSandbox} {
		// Those that don't run as well: one that the node has just asked the engine to start runs in a moment, and its stop waits
		// for that.
		containers, err := d.engine.ListContainers(ctx, docker.ListOptions{Labels: docker.ProfileLabels(d.profile.Name, role)})
		if err != nil {
			return err
		}
		var group errgroup.Group
		group.SetLimit(parallelStops)
		if role == docker.RoleSandbox {
			group.SetLimit(docker.DetachParallel)
		}
		for _, c := range containers {
			group.Go(func() error {
				grace := stopGrace
				if now {
					grace = 0
				}
				err := d.engine.StopContainer(ctx, c.ID, docker.StopOptions{Grace: grace})
				if err == nil || errors.Is(err, docker.ErrNotFound) || errors.Is(err, docker.ErrNotModified) {
					return nil
				}
				return fmt.Errorf("stop container %s: %w", c.Name, err)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	if leave := d.leaveNetwork.Load(); leave != nil {
		(*leave)() // or the relay would be started again
	}
	return d.network.Stop(ctx)
}
