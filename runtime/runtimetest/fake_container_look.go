package runtimetest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"skiff.local/skiff/runtime/docker"
)

// InspectContainer implements Engine.
func (f *Fake) InspectContainer(ctx context.Context, id string) (*docker.Container, error) {
	if err := f.begin(ctx, "InspectContainer", id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("inspect container", id)
	if err != nil {
		return nil, err
	}
	command := argv(c)
	hostname := c.spec.Hostname
	if hostname == "" && !strings.HasPrefix(c.spec.Network, "container:") {
		hostname = c.id[:12]
	}
	out := &docker.Container{
		ID: c.id, Name: c.name, Image: c.spec.Image, ImageID: c.image.info.ID, Created: c.created, Labels: maps.Clone(c.spec.Labels),
		State: c.state, Entrypoint: c.spec.Entrypoint, Cmd: c.spec.Cmd, Env: slices.Concat(c.spec.Env, c.image.info.Env),
		User: c.spec.User, Hostname: hostname, WorkingDir: c.spec.WorkingDir, TTY: c.spec.TTY, Stdin: c.spec.Stdin,
		StopSignal: c.spec.StopSignal, NetworkMode: c.spec.Network, PIDMode: c.spec.PID, IPCMode: c.spec.IPC,
		Resources: c.resources, OOMScoreAdj: c.spec.OOMScoreAdj, Networks: maps.Clone(c.endpoints), Mounts: f.mounts(c),
		LogPath: "/var/lib/docker/containers/" + c.id + "/" + c.id + "-json.log", LogDriver: "json-file",
	}
	if out.Entrypoint == nil {
		out.Entrypoint = c.image.info.Entrypoint
	}
	if out.Cmd == nil && c.spec.Entrypoint == nil {
		out.Cmd = command[len(out.Entrypoint):]
	}
	return out, nil
}

func (f *Fake) mounts(c *fakeContainer) []docker.MountState {
	var out []docker.MountState
	for _, m := range c.spec.Mounts {
		state := docker.MountState{Type: m.Type, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Type == docker.MountVolume {
			state.Name, state.Source = m.Source, "/var/lib/docker/volumes/"+m.Source+"/_data"
		}
		out = append(out, state)
	}
	return out
}

// ListContainers implements Engine.
func (f *Fake) ListContainers(ctx context.Context, opts docker.ListOptions) ([]docker.ContainerSummary, error) {
	if err := f.begin(ctx, "ListContainers", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []docker.ContainerSummary{}
	for _, c := range f.containers {
		if !matches(c.spec.Labels, opts.Labels) || opts.RunningOnly && !c.state.Running {
			continue
		}
		out = append(out, docker.ContainerSummary{
			ID: c.id, Name: c.name, Image: c.spec.Image, ImageID: c.image.info.ID, Created: c.created, Labels: maps.Clone(c.spec.Labels),
			Status: c.state.Status, NetworkMode: c.spec.Network, Networks: maps.Clone(c.endpoints), Mounts: f.mounts(c),
		})
	}
	// Newest first, as engines list them.
	slices.SortFunc(out, func(a, b docker.ContainerSummary) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// WaitContainer implements Engine.
func (f *Fake) WaitContainer(ctx context.Context, id string, until docker.WaitCondition) (int, error) {
	const op = "wait for container"
	if err := f.begin(ctx, "WaitContainer", id); err != nil {
		return 0, err
	}
	f.mu.Lock()
	c, err := f.find(op, id)
	if err != nil {
		f.mu.Unlock()
		return 0, err
	}
	exited, running, code := c.exited, c.state.Running, c.state.ExitCode
	f.mu.Unlock()
	if until == docker.WaitNotRunning && !running {
		return code, nil
	}
	if until == docker.WaitRemoved {
		exited = nil
	}
	select {
	case <-exited:
	case <-c.gone:
	case <-ctx.Done():
		return 0, &docker.Error{Op: op, Object: id, Err: ctx.Err()}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.state.ExitCode, nil
}

// UpdateResources implements Engine.
func (f *Fake) UpdateResources(ctx context.Context, id string, r docker.Resources) error {
	if err := f.begin(ctx, "UpdateResources", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("update container", id)
	if err != nil {
		return err
	}
	set := func(dst *int64, v int64) {
		if v != 0 {
			*dst = v
		}
	}
	set(&c.resources.CPUShares, r.CPUShares)
	set(&c.resources.CPUPeriod, r.CPUPeriod)
	set(&c.resources.CPUQuota, r.CPUQuota)
	set(&c.resources.Memory, r.Memory)
	set(&c.resources.MemorySwap, r.MemorySwap)
	set(&c.resources.MemoryReserve, r.MemoryReserve)
	set(&c.resources.PidsLimit, r.PidsLimit)
	if r.CpusetCPUs != "" {
		c.resources.CpusetCPUs = r.CpusetCPUs
	}
	f.emitContainer(c, "update", nil)
	return nil
}
