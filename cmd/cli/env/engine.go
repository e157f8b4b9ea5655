package env

import (
	"context"
	"time"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

// briefly bounds the question what a daemon has left where it is a detail of an answer that must not hang. Chosen.
const briefly = 3 * time.Second

// GlanceAtLeft is LeftContainers where nobody waits for the answer: what can't be learnt at once is nil.
func GlanceAtLeft(ctx context.Context, p *profile.Profile) *client.LeftContainers {
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	left, err := LeftContainers(ctx, p)
	if err != nil {
		return nil
	}
	return left
}

// LeftContainers counts what a daemon of p that ended has left in the engine; nil when that is nothing.
func LeftContainers(ctx context.Context, p *profile.Profile) (*client.LeftContainers, error) {
	settings, existed, err := p.ReadSettings()
	if err != nil || !existed {
		return nil, err
	}
	engine, err := docker.Connect(ctx, docker.Options{Host: settings.Engine})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	containers, err := engine.ListContainers(ctx, docker.ListOptions{Labels: docker.ProfileLabels(p.Name, ""), RunningOnly: true})
	if err != nil || len(containers) == 0 {
		return nil, err
	}
	var left client.LeftContainers
	for _, c := range containers {
		if c.Status == docker.StatusPaused {
			left.Paused++
		} else {
			left.Running++
		}
	}
	return &left, nil
}

// Engine connects to the engine of the profile: the one its cluster was made on, else the user's default. The caller
// closes it.
func (e *Env) Engine(ctx context.Context) (*docker.Engine, error) {
	p, err := e.Profile()
	if err != nil {
		return nil, err
	}
	settings, _, err := p.ReadSettings()
	if err != nil {
		return nil, err
	}
	return docker.Connect(ctx, docker.Options{Host: settings.Engine})
}
