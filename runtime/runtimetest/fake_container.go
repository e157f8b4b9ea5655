package runtimetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/runtimetest/prog"
)

// fakeContainer is one container. The fake's lock guards it.
type fakeContainer struct {
	id, name  string
	spec      docker.ContainerSpec
	image     *fakeImage
	created   time.Time
	state     docker.ContainerState
	resources docker.Resources
	endpoints map[string]docker.EndpointState
	extra     map[string]docker.Endpoint // networks connected to besides spec.Network
	files     fileTree
	out       *output
	proc      *fakeProcess
	stdin     *io.PipeWriter
	exited    chan struct{} // closed at the next exit
	gone      chan struct{} // closed at removal
}

func (f *Fake) find(op, id string) (*fakeContainer, error) {
	if c := f.lookup(id); c != nil {
		return c, nil
	}
	return nil, fail(docker.ErrNotFound, op, id, "No such container: %s", id)
}

// lookup finds a container by id, unambiguous prefix of an id, or name.
func (f *Fake) lookup(id string) *fakeContainer {
	if c, ok := f.containers[id]; ok {
		return c
	}
	var found *fakeContainer
	for _, c := range f.containers {
		if c.name == strings.TrimPrefix(id, "/") {
			return c
		}
		if len(id) >= 12 && strings.HasPrefix(c.id, id) {
			found = c
		}
	}
	return found
}

// CreateContainer implements Engine.
func (f *Fake) CreateContainer(ctx context.Context, spec docker.ContainerSpec) (string, error) {
	const op = "create container"
	if err := f.begin(ctx, "CreateContainer", spec.Name); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	img := f.findImage(spec.Image)
	if img == nil {
		err := fail(docker.ErrNotFound, op, spec.Name, "No such image: %s", spec.Image)
		err.Also = docker.ErrNoImage
		return "", err
	}
	c := &fakeContainer{
		id: newID(), name: spec.Name, spec: spec, image: img, created: time.Now(), resources: spec.Resources,
		state: docker.ContainerState{Status: docker.StatusCreated}, files: maps.Clone(img.files), out: newOutput(),
		exited: make(chan struct{}), gone: make(chan struct{}), extra: map[string]docker.Endpoint{},
		endpoints: map[string]docker.EndpointState{},
	}
	if c.files == nil {
		c.files = fileTree{}
	}
	if c.name == "" {
		c.name = "fake_" + c.id[:12]
	}
	if other := f.lookup(c.name); other != nil && other.name == c.name {
		return "", fail(docker.ErrConflict, op, c.name, "Conflict. The container name %q is already in use by container %q.", "/"+c.name, other.id)
	}
	c.spec.Labels = maps.Clone(spec.Labels)
	if len(argv(c)) == 0 {
		return "", fail(docker.ErrInvalid, op, c.name, "No command specified")
	}
	for _, mode := range []string{spec.Network, spec.PID, spec.IPC} {
		if target, joins := strings.CutPrefix(mode, "container:"); joins && f.lookup(target) == nil {
			return "", fail(docker.ErrNotFound, op, c.name, "No such container: %s", target)
		}
	}
	for _, m := range spec.Mounts {
		if err := f.mount(c, m); err != nil {
			return "", err
		}
	}
	f.containers[c.id] = c
	f.emitContainer(c, "create", nil)
	return c.id, nil
}

// mount makes a named volume exist and fills an empty one from the image, as engines do.
func (f *Fake) mount(c *fakeContainer, m docker.Mount) error {
	c.files.put(m.Target, fakeFile{mode: fs.ModeDir | 0o755})
	if m.Type != docker.MountVolume {
		return nil
	}
	v, ok := f.volumes[m.Source]
	if !ok {
		v = f.addVolume(docker.VolumeSpec{Name: m.Source})
	}
	if m.NoCopy || len(v.files) > 0 {
		return nil
	}
	prefix := clean(m.Target) + "/"
	for name, file := range c.image.files {
		if rel, below := strings.CutPrefix(name, prefix); below {
			v.files.put(rel, file)
		}
	}
	return nil
}

func argv(c *fakeContainer) []string {
	entrypoint, cmd := c.image.info.Entrypoint, c.image.info.Cmd
	if c.spec.Entrypoint != nil {
		entrypoint, cmd = c.spec.Entrypoint, nil
	}
	if len(c.spec.Cmd) > 0 {
		cmd = c.spec.Cmd
	}
	return slices.Concat(entrypoint, cmd)
}

// StartContainer implements Engine.
func (f *Fake) StartContainer(ctx context.Context, id string) error {
	const op = "start container"
	if err := f.begin(ctx, "StartContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(op, id)
	if err != nil {
		return err
	}
	if c.state.Running {
		return nil
	}
	for _, mode := range []string{c.spec.Network, c.spec.PID, c.spec.IPC} {
		if target, joins := strings.CutPrefix(mode, "container:"); joins {
			if t := f.lookup(target); t == nil {
				return fail(docker.ErrNotFound, op, c.name, "No such container: %s", target)
			} else if !t.state.Running {
				return fail(docker.ErrConflict, op, c.name, "cannot join the namespace of a non running container: %s", target)
			}
		}
	}
	if err := f.attachNetworks(c); err != nil {
		return err
	}
	command := argv(c)
	program := f.programs[command[0]]
	if c.image.program != nil {
		program = c.image.program
	}
	if program == nil {
		f.detachNetworks(c)
		c.state.ExitCode = 127
		c.state.Error = fmt.Sprintf("OCI runtime create failed: exec: %q: executable file not found in $PATH: unknown", command[0])
		return fail(docker.ErrInvalid, op, c.name, "%s", c.state.Error)
	}
	f.run(c, program, command)
	return nil
}

func (f *Fake) run(c *fakeContainer, program Program, command []string) {
	c.state = docker.ContainerState{Status: docker.StatusRunning, Running: true, Pid: 1000 + len(f.calls), StartedAt: time.Now()}
	c.out.restart()
	var stdin io.Reader = bytes.NewReader(nil)
	if c.spec.Stdin {
		r, w := io.Pipe()
		stdin, c.stdin = r, w
	}
	p := f.process(c, command, c.spec.Env)
	p.Stdin, p.Stdout, p.Stderr = stdin, c.out.writer(false), c.out.writer(!c.spec.TTY)
	c.proc = launch(program, p, func(proc *fakeProcess, code int) { f.ended(c, proc, code) })
	f.emitContainer(c, "start", nil)
}

// process fills in what a process in the container sees.
func (f *Fake) process(c *fakeContainer, command, env []string) prog.Proc {
	all := slices.Concat(c.image.info.Env, c.spec.Env, env, []string{"HOSTNAME=" + c.spec.Hostname})
	return prog.Proc{
		Args: command,
		Getenv: func(name string) string {
			for _, kv := range slices.Backward(all) {
				if v, ok := strings.CutPrefix(kv, name+"="); ok {
					return v
				}
			}
			return ""
		},
		ReadFile: func(name string) ([]byte, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			tree, p, _ := f.resolve(c, name)
			file, ok := tree.get(p)
			if !ok || file.mode.IsDir() {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			return bytes.Clone(file.data), nil
		},
		WriteFile: func(name string, data []byte) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			tree, p, writable := f.resolve(c, name)
			if !writable {
				return fmt.Errorf("open %s: read-only file system", name)
			}
			tree.put(p, fakeFile{mode: 0o644, data: bytes.Clone(data), modTime: time.Now()})
			return nil
		},
		Spawn: func(...string) error { return nil },
	}
}

// resolve finds the tree that a path of a container lies in.
func (f *Fake) resolve(c *fakeContainer, name string) (tree fileTree, inner string, writable bool) {
	best, tree, inner, writable := "", c.files, name, !c.spec.ReadonlyRootfs
	for _, m := range c.spec.Mounts {
		target := path.Clean(m.Target)
		if len(target) <= len(best) || name != target && !strings.HasPrefix(path.Clean(name), target+"/") {
			continue
		}
		if v, ok := f.volumes[m.Source]; ok && m.Type == docker.MountVolume {
			best, tree = target, v.files
			inner, writable = path.Join(m.Subpath, strings.TrimPrefix(path.Clean(name), target)), !m.ReadOnly
		}
	}
	return tree, inner, writable
}

// ended is the engine noticing that a container's process is over.
func (f *Fake) ended(c *fakeContainer, proc *fakeProcess, code int) {
	c.out.finish()
	f.mu.Lock()
	defer f.mu.Unlock()
	if proc.forced != nil {
		code = *proc.forced
	}
	if c.stdin != nil {
		_ = c.stdin.Close()
		c.stdin = nil
	}
	c.state.Status, c.state.Running, c.state.Paused = docker.StatusExited, false, false
	c.state.Pid, c.state.ExitCode, c.state.FinishedAt = 0, code, time.Now()
	f.detachNetworks(c)
	for _, e := range f.execs {
		if e.container == c {
			e.proc.signal("KILL")
		}
	}
	for _, other := range f.containers {
		if other.state.Running && other.spec.PID == docker.ContainerMode(c.id) {
			other.proc.signal("KILL")
		}
	}
	f.emitContainer(c, "die", map[string]string{"exitCode": strconv.Itoa(code)})
	close(c.exited)
	c.exited = make(chan struct{})
}

// StopContainer implements Engine.
func (f *Fake) StopContainer(ctx context.Context, id string, opts docker.StopOptions) error {
	const op = "stop container"
	if err := f.begin(ctx, "StopContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, id)
	if err != nil || !c.state.Running {
		f.mu.Unlock()
		return err
	}
	proc := c.proc
	signal := opts.Signal
	if signal == "" {
		signal = c.spec.StopSignal
	}
	if signal == "" {
		signal = "TERM"
	}
	if opts.Grace > 0 {
		f.emitContainer(c, "kill", map[string]string{"signal": signal})
		proc.signal(strings.TrimPrefix(signal, "SIG"))
	}
	f.mu.Unlock()
	timer := time.NewTimer(opts.Grace)
	defer timer.Stop()
	select {
	case <-proc.done:
	case <-timer.C:
		proc.signal("KILL")
		<-proc.done
	case <-ctx.Done():
		return &docker.Error{Op: op, Object: id, Err: ctx.Err()}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emitContainer(c, "stop", nil)
	return nil
}

// KillContainer implements Engine.
func (f *Fake) KillContainer(ctx context.Context, id, signal string) error {
	const op = "kill container"
	if err := f.begin(ctx, "KillContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, id)
	if err == nil && !c.state.Running {
		err = fail(docker.ErrConflict, op, id, "Container %s is not running", id)
	}
	if err != nil {
		f.mu.Unlock()
		return err
	}
	proc := c.proc
	f.emitContainer(c, "kill", map[string]string{"signal": signal})
	f.mu.Unlock()
	signal = strings.TrimPrefix(signal, "SIG")
	if signal == "" {
		signal = "KILL"
	}
	proc.signal(signal)
	if signal == "KILL" || signal == "9" {
		<-proc.done // engines wait for it
	}
	return nil
}

// PauseContainer implements Engine.
func (f *Fake) PauseContainer(ctx context.Context, id string) error {
	return f.setPaused(ctx, "PauseContainer", id, true)
}

// UnpauseContainer implements Engine.
func (f *Fake) UnpauseContainer(ctx context.Context, id string) error {
	return f.setPaused(ctx, "UnpauseContainer", id, false)
}

func (f *Fake) setPaused(ctx context.Context, method, id string, paused bool) error {
	if err := f.begin(ctx, method, id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(method, id)
	if err != nil {
		return err
	}
	if !c.state.Running || c.state.Paused == paused {
		return fail(docker.ErrConflict, method, id, "Container %s is not in that state", id)
	}
	c.state.Paused, c.state.Status = paused, docker.StatusRunning
	if paused {
		c.state.Status = docker.StatusPaused
	}
	return nil
}

// RemoveContainer implements Engine.
func (f *Fake) RemoveContainer(ctx context.Context, id string, opts docker.RemoveOptions) error {
	const op = "remove container"
	if err := f.begin(ctx, "RemoveContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	c, err := f.find(op, id)
	if err == nil && c.state.Running && !opts.Force {
		err = fail(docker.ErrConflict, op, id, "You cannot remove a running container %s. Stop the container before attempting removal or force remove", c.id)
	}
	if err != nil {
		f.mu.Unlock()
		return err
	}
	proc, running := c.proc, c.state.Running
	f.mu.Unlock()
	if running {
		proc.signal("KILL")
		<-proc.done
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, still := f.containers[c.id]; !still {
		return nil
	}
	delete(f.containers, c.id)
	close(c.gone)
	f.emitContainer(c, "destroy", nil)
	return nil
}

// RenameContainer implements Engine.
func (f *Fake) RenameContainer(ctx context.Context, id, name string) error {
	const op = "rename container"
	if err := f.begin(ctx, "RenameContainer", id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(op, id)
	if err != nil {
		return err
	}
	if other := f.lookup(name); other != nil && other != c {
		return fail(docker.ErrConflict, op, id, "name %s is in use", name)
	}
	c.name = name
	f.emitContainer(c, "rename", nil)
	return nil
}

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

// OOMKill ends a container as the kernel does when its memory limit is reached.
func (f *Fake) OOMKill(id string) {
	f.mu.Lock()
	c := f.lookup(id)
	if c == nil || !c.state.Running {
		f.mu.Unlock()
		return
	}
	c.state.OOMKilled = true
	f.emitContainer(c, "oom", nil)
	proc := c.proc
	f.mu.Unlock()
	proc.signal("KILL")
	<-proc.done
}

// Exit ends a container's process with a code of the test's choosing.
func (f *Fake) Exit(id string, code int) {
	f.mu.Lock()
	c := f.lookup(id)
	if c == nil || !c.state.Running {
		f.mu.Unlock()
		return
	}
	proc := c.proc
	proc.forced = &code
	f.mu.Unlock()
	proc.signal("KILL")
	<-proc.done
}
