package pod

import (
	"context"
	"sync"

	"skiff.local/skiff/runtime/docker"
)

// An oomProbe finds out once whether the engine may protect processes from the OOM killer.
type oomProbe struct {
	mu    sync.Mutex
	known bool
	can   bool
}

// protects reports whether the engine can lower a container's OOM score. An engine without root or without the capability
// for it fails to start such a container, with a message about something else; so it is tried out, once, when the first
// pod of class Guaranteed comes.
func (c *Config) protects(ctx context.Context) bool {
	p := &c.oom
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known || c.Spec.Engine.Rootless {
		return p.can
	}
	id, err := c.Engine.CreateContainer(ctx, docker.ContainerSpec{
		Image: c.Spec.NodeImage, Cmd: []string{"version"}, Network: "none", OOMScoreAdj: -1,
		Labels: docker.ProfileLabels(c.Spec.Profile, docker.RoleHelper), Log: docker.LogConfig{Driver: "none"},
	})
	if err != nil {
		return false
	}
	err = c.Engine.StartContainer(ctx, id)
	_ = c.Engine.RemoveContainer(context.WithoutCancel(ctx), id, docker.RemoveOptions{Force: true, Volumes: true})
	if ctx.Err() == nil {
		p.known, p.can = true, err == nil
	}
	return err == nil
}
