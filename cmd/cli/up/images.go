package up

import (
	"context"
	"time"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/runtime/docker"
)

// imageListener is told when a tag means another image. *watch.Set is one.
type imageListener interface {
	ImageMoved(reference, id string)
}

// followImages tells a set about every tag that the engine gives, so that `docker build -t app .` rolls the pods that
// use it. Without an engine that answers there is nothing to follow, and the set does all the rest.
func followImages(ctx context.Context, e *env.Env, set imageListener) {
	engine, err := e.Engine(ctx)
	if err != nil {
		return
	}
	defer engine.Close()
	begun := time.Now()
	for event := range engine.Events(ctx, docker.EventOptions{Types: []string{"image"}, Actions: []string{"tag"}}) {
		// The stream replays the last moments; what moved before the set began, its pods find as it is.
		if name := event.Attributes["name"]; name != "" && event.ID != "" && event.Time.After(begun) {
			set.ImageMoved(name, event.ID)
		}
	}
}
