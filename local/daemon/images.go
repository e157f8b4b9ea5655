package daemon

import (
	"context"

	"skiff.local/skiff/runtime/docker"
)

// watchImages tells the watched sets when a tag means another image, as after `docker build -t app .`.
func (d *daemon) watchImages(ctx context.Context) {
	events := d.engine.Events(ctx, docker.EventOptions{Types: []string{"image"}, Actions: []string{"tag"}})
	for e := range events {
		if name := e.Attributes["name"]; name != "" && e.ID != "" {
			d.sets.imageMoved(name, e.ID)
		}
	}
}
