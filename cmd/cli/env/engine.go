package env

import (
	"context"

	"skiff.local/skiff/runtime/docker"
)

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
