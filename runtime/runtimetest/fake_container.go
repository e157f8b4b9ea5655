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
