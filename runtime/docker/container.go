package docker

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// StartContainer starts a created or exited container. Starting one that runs is not an error.
func (e *Engine) StartContainer(ctx context.Context, id string) error {
	err := e.convert(e.cli.ContainerStart(ctx, id, container.StartOptions{}), "start container", id)
	if errors.Is(err, ErrNotModified) {
		return nil
	}
	// The kernel has no other word for a profile that it doesn't know than that for a file.
	var refusal *Error
	if errors.As(err, &refusal) && strings.Contains(refusal.Text, "apply apparmor profile") && strings.Contains(refusal.Text, "no such file or directory") {
		refusal.Advice = "load the AppArmor profile on the engine's host, apparmor_parser -r FILE, or use RuntimeDefault"
	}
	return err
}

// StopContainer asks the container to stop and kills it when its grace is over; it returns when the container is down.
// Stopping one that doesn't run is not an error. On engines before API 1.42 a signal costs two more requests.
func (e *Engine) StopContainer(ctx context.Context, id string, opts StopOptions) error {
	const op = "stop container"
	if opts.Signal != "" && opts.Grace > 0 && !e.features.StopWithSignal {
		return e.stopWithSignal(ctx, id, opts)
	}
	seconds := int(math.Ceil(opts.Grace.Seconds()))
	stop := container.StopOptions{Timeout: &seconds}
	if e.features.StopWithSignal {
		stop.Signal = opts.Signal
	}
	err := e.convert(e.cli.ContainerStop(ctx, id, stop), op, id)
	if errors.Is(err, ErrNotModified) {
		return nil
	}
	return err
}

// stopWithSignal does by hand what older engines can't: signal, wait, kill.
func (e *Engine) stopWithSignal(ctx context.Context, id string, opts StopOptions) error {
	if err := e.KillContainer(ctx, id, opts.Signal); err != nil {
		if errors.Is(err, ErrConflict) {
			return nil // not running
		}
		return err
	}
	graceful, cancel := context.WithTimeout(ctx, opts.Grace)
	_, err := e.WaitContainer(graceful, id, WaitNotRunning)
	cancel()
	if err == nil || errors.Is(err, ErrNotFound) {
		return nil
	}
	if ctx.Err() != nil || graceful.Err() == nil {
		return err
	}
	if err := e.KillContainer(ctx, id, "SIGKILL"); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
		return err
	}
	_, err = e.WaitContainer(ctx, id, WaitNotRunning)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// KillContainer sends a signal ("SIGTERM", "9"; SIGKILL when empty) to the container's first process. A container that
// doesn't run is ErrConflict.
func (e *Engine) KillContainer(ctx context.Context, id, signal string) error {
	if signal == "" {
		signal = "SIGKILL"
	}
	return e.convert(e.cli.ContainerKill(ctx, id, signal), "kill container", id)
}

// PauseContainer freezes the container's processes.
func (e *Engine) PauseContainer(ctx context.Context, id string) error {
	return e.convert(e.cli.ContainerPause(ctx, id), "pause container", id)
}

// UnpauseContainer thaws them.
func (e *Engine) UnpauseContainer(ctx context.Context, id string) error {
	return e.convert(e.cli.ContainerUnpause(ctx, id), "unpause container", id)
}

// RemoveContainer removes a container. One that runs is ErrConflict unless forced; so is one whose removal is already
// under way.
func (e *Engine) RemoveContainer(ctx context.Context, id string, opts RemoveOptions) error {
	return e.convert(e.cli.ContainerRemove(ctx, id, container.RemoveOptions{Force: opts.Force, RemoveVolumes: opts.Volumes}), "remove container", id)
}

// RenameContainer gives a container another name, also while it runs.
func (e *Engine) RenameContainer(ctx context.Context, id, name string) error {
	return e.convert(e.cli.ContainerRename(ctx, id, name), "rename container", id)
}

// InspectContainer returns everything the engine knows about one container, found by id or name.
func (e *Engine) InspectContainer(ctx context.Context, id string) (*Container, error) {
	resp, err := e.cli.ContainerInspect(ctx, id)
	if err != nil {
		return nil, e.convert(err, "inspect container", id)
	}
	return containerFrom(resp), nil
}

// ListContainers lists the containers that carry the labels, in one request and without inspecting them.
func (e *Engine) ListContainers(ctx context.Context, opts ListOptions) ([]ContainerSummary, error) {
	list, err := e.cli.ContainerList(ctx, container.ListOptions{All: !opts.RunningOnly, Filters: labelFilter(opts.Labels)})
	if err != nil {
		return nil, e.convert(err, "list containers", "")
	}
	out := make([]ContainerSummary, 0, len(list))
	for _, c := range list {
		out = append(out, summaryFrom(c))
	}
	return out, nil
}

func labelFilter(labels map[string]string) filters.Args {
	args := filters.NewArgs()
	for k, v := range labels {
		if v == "" {
			args.Add("label", k)
		} else {
			args.Add("label", k+"="+v)
		}
	}
	return args
}

// WaitContainer blocks until the condition holds and returns the exit code. While it waits it
// holds a connection, and the engine nothing else: for many containers one Events stream is the better choice.
func (e *Engine) WaitContainer(ctx context.Context, id string, until WaitCondition) (int, error) {
	const op = "wait for container"
	// The SDK's goroutine ends only when its result is taken or its context ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, errs := e.cli.ContainerWait(ctx, id, container.WaitCondition(until))
	select {
	case r := <-results:
		if r.Error != nil && r.Error.Message != "" {
			return int(r.StatusCode), &Error{Op: op, Object: id, Kind: ErrInternal, Text: r.Error.Message}
		}
		return int(r.StatusCode), nil
	case err := <-errs:
		return 0, e.convert(err, op, id)
	case <-ctx.Done():
		return 0, e.convert(ctx.Err(), op, id)
	}
}

// UpdateResources changes the cgroup settings of a container, running or not. Zero fields stay as they are;
// CgroupParent can't change.
func (e *Engine) UpdateResources(ctx context.Context, id string, r Resources) error {
	update := container.UpdateConfig{Resources: translateResources(r)}
	update.CgroupParent = ""
	_, err := e.cli.ContainerUpdate(ctx, id, update)
	return e.convert(err, "update container", id)
}

func containerFrom(resp container.InspectResponse) *Container {
	c := &Container{Mounts: mountStates(resp.Mounts), Networks: map[string]EndpointState{}}
	if base := resp.ContainerJSONBase; base != nil {
		c.ID = base.ID
		c.Name = strings.TrimPrefix(base.Name, "/")
		c.ImageID = base.Image
		c.Created = parseTime(base.Created)
		c.LogPath = base.LogPath
		c.State = stateFrom(base.State)
		if h := base.HostConfig; h != nil {
			c.NetworkMode, c.PIDMode, c.IPCMode = string(h.NetworkMode), string(h.PidMode), string(h.IpcMode)
			c.OOMScoreAdj, c.LogDriver = h.OomScoreAdj, h.LogConfig.Type
			c.Resources = resourcesFrom(h.Resources)
		}
	}
	if config := resp.Config; config != nil {
		c.Image, c.Labels, c.Env = config.Image, config.Labels, config.Env
		c.Entrypoint, c.Cmd = config.Entrypoint, config.Cmd
		c.User, c.Hostname, c.WorkingDir = config.User, config.Hostname, config.WorkingDir
		c.TTY, c.Stdin, c.StopSignal = config.Tty, config.OpenStdin, config.StopSignal
	}
	if resp.NetworkSettings != nil {
		c.Networks = endpointStates(resp.NetworkSettings.Networks)
	}
	return c
}

func stateFrom(s *container.State) ContainerState {
	if s == nil {
		return ContainerState{}
	}
	return ContainerState{
		Status: ContainerStatus(s.Status), Running: s.Running, Paused: s.Paused, OOMKilled: s.OOMKilled,
		Pid: s.Pid, ExitCode: s.ExitCode, Error: s.Error,
		StartedAt: parseTime(s.StartedAt), FinishedAt: parseTime(s.FinishedAt),
	}
}

func resourcesFrom(r container.Resources) Resources {
	out := Resources{
		CPUShares: r.CPUShares, CPUPeriod: r.CPUPeriod, CPUQuota: r.CPUQuota,
		CpusetCPUs: r.CpusetCpus, CpusetMems: r.CpusetMems,
		Memory: r.Memory, MemorySwap: r.MemorySwap, MemoryReserve: r.MemoryReservation,
		CgroupParent: r.CgroupParent, BlkioWeight: r.BlkioWeight,
	}
	if r.PidsLimit != nil {
		out.PidsLimit = *r.PidsLimit
	}
	return out
}

func summaryFrom(s container.Summary) ContainerSummary {
	c := ContainerSummary{
		ID: s.ID, Image: s.Image, ImageID: s.ImageID, Created: time.Unix(s.Created, 0), Labels: s.Labels,
		Status: ContainerStatus(s.State), NetworkMode: s.HostConfig.NetworkMode,
		Networks: map[string]EndpointState{}, Mounts: mountStates(s.Mounts),
	}
	for _, name := range s.Names {
		// Links add names with a second slash; the container's own has one.
		if own := strings.TrimPrefix(name, "/"); !strings.Contains(own, "/") {
			c.Name = own
		}
	}
	if s.NetworkSettings != nil {
		c.Networks = endpointStates(s.NetworkSettings.Networks)
	}
	return c
}

func mountStates(points []container.MountPoint) []MountState {
	var out []MountState
	for _, m := range points {
		out = append(out, MountState{Type: MountType(m.Type), Name: m.Name, Source: m.Source, Target: m.Destination, ReadOnly: !m.RW})
	}
	return out
}

// parseTime reads the engine's times; the zero time stands for "never", which the engine writes as year one.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}
