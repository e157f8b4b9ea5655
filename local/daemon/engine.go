package daemon

import (
	"context"

	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/runtime/docker"
)

// watchEngine tells the watched sets when a tag means another image, as after `docker build -t app .`, and the nodes
// whether the engine answers.
func (d *daemon) watchEngine(ctx context.Context) {
	events := d.engine.Events(ctx, docker.EventOptions{Types: []string{"image"}, Actions: []string{"tag"}})
	for e := range events {
		switch e.Action {
		case docker.EventLost:
			d.nodesAre(ctx, nodes.EngineUnreachable(e.Err.Error()))
		case docker.EventGap:
			d.nodesAre(ctx, nodes.Ready())
		default:
			if name := e.Attributes["name"]; name != "" && e.ID != "" {
				d.sets.imageMoved(name, e.ID)
			}
		}
	}
}

func (d *daemon) nodesAre(ctx context.Context, r nodes.Readiness) {
	if err := d.nodes.SetReadiness(ctx, r); err != nil && ctx.Err() == nil {
		d.log.Warn("the nodes' condition could not be written", "error", err)
	}
}
