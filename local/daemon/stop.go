package daemon

import (
	"context"

	"skiff.local/skiff/local/client"
)

// awaitReady returns when the cluster's DNS has answered once.
func (d *daemon) awaitReady(ctx context.Context) error {
	select {
	case <-d.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopWorkloads does what a stop asks for and then ends the daemon. The answer is written before the end.
func (d *daemon) stopWorkloads(ctx context.Context, r client.StopRequest) error {
	if !r.KeepPods {
		if err := d.stopPods(ctx, r.Now); err != nil {
			return err
		}
	}
	select {
	case d.stop <- r:
	default: // somebody else's stop is under way
	}
	return nil
}
