package runtimetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"skiff.local/skiff/runtime/docker"
)

// Fake is a Docker Engine in memory. Its zero value is not ready; use NewFake.
type Fake struct {
	mu         sync.Mutex
	containers map[string]*fakeContainer // by id
	images     map[string]*fakeImage     // by id
	networks   map[string]*fakeNetwork   // by id
	volumes    map[string]*fakeVolume    // by name
	execs      map[string]*fakeExec      // by id
	programs   map[string]Program        // by executable
	remote     map[string]RemoteImage    // by normalised reference
	stats      map[string]docker.Stats   // by container id
	events     eventLog
	calls      []Call
	hook       func(Call) error
	down       bool
	noRegistry bool
	info       docker.EngineInfo
	features   docker.Features
}

// Call is one recorded call.
type Call struct {
	Method string // "CreateContainer"
	Object string // the name or id it was about
}

func (c Call) String() string { return strings.TrimSpace(c.Method + " " + c.Object) }

// NewFake returns an engine with the three networks every engine has, and nothing else. It runs the test program under
// ProgPath and pause under docker.HelperPath.
func NewFake() *Fake {
	f := &Fake{
		containers: map[string]*fakeContainer{}, images: map[string]*fakeImage{}, networks: map[string]*fakeNetwork{},
		volumes: map[string]*fakeVolume{}, execs: map[string]*fakeExec{}, remote: map[string]RemoteImage{},
		stats: map[string]docker.Stats{}, programs: map[string]Program{ProgPath: runProg, docker.HelperPath: runHelper},
		info: docker.EngineInfo{
			ID: "FAKE", Name: "fake", ServerVersion: "20.10.24", OSType: "linux", OperatingSystem: "Fake Linux",
			Architecture: "amd64", KernelVersion: "6.1.0", CPUs: 4, Memory: 8 << 30, RootDir: "/var/lib/docker",
			StorageDriver: "overlay2", LoggingDriver: "json-file", CgroupDriver: "systemd", CgroupVersion: 2, CPUShares: true, MemoryLimit: true,
			DefaultRuntime: "runc", Runtimes: []string{"runc"}, SwapLimit: true, PidsLimit: true, CPUQuota: true, Seccomp: true,
		},
	}
	for _, name := range []string{"bridge", "host", "none"} {
		f.addNetwork(docker.NetworkSpec{Name: name, Driver: map[string]string{"none": "null"}[name]})
	}
	return f
}

// OnCall installs a hook that runs before every call, outside the fake's lock: it may block to delay the call, or return
// an error for it to fail with. Nil removes it.
func (f *Fake) OnCall(hook func(Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// FailOnce makes the next call of a method fail.
func (f *Fake) FailOnce(method string, err error) {
	var once sync.Once
	f.OnCall(func(c Call) (out error) {
		if c.Method == method {
			once.Do(func() { out = err })
		}
		return out
	})
}

// Calls returns what was called so far, in order, and forgets it.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// SetDown makes the engine unreachable, or reachable again. Containers live on; event streams break.
func (f *Fake) SetDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
	if down {
		f.events.breakAll(errDown("watch the events of"))
	}
}

// SetFeatures and SetInfo change what the engine says about itself.
func (f *Fake) SetFeatures(features docker.Features) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.features = features
}

// SetInfo changes what Info returns.
func (f *Fake) SetInfo(change func(*docker.EngineInfo)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.info)
}

// SetStats sets what Stats returns for a container.
func (f *Fake) SetStats(id string, s docker.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats[id] = s
}

// Dump lists what exists, one line each and sorted: for comparing with an expected state.
func (f *Fake) Dump() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.containers {
		out = append(out, fmt.Sprintf("container %s %s", c.name, c.state.Status))
	}
	for _, n := range f.networks {
		if !n.builtin() {
			out = append(out, "network "+n.spec.Name)
		}
	}
	for name := range f.volumes {
		out = append(out, "volume "+name)
	}
	slices.Sort(out)
	return out
}

// begin is the start of every call: it records it and lets the hook have its say.
func (f *Fake) begin(ctx context.Context, method, object string) error {
	call := Call{Method: method, Object: object}
	f.mu.Lock()
	f.calls = append(f.calls, call)
	hook, down := f.hook, f.down
	f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return &docker.Error{Op: method, Object: object, Err: err}
	}
	if down {
		return errDown(method)
	}
	if hook != nil {
		return hook(call)
	}
	return nil
}

func errDown(op string) error {
	return &docker.Error{Op: op, Object: "fake://", Kind: docker.ErrNoEngine, Text: "connection refused", Advice: "bring the fake up"}
}

func fail(kind error, op, object, format string, args ...any) *docker.Error {
	return &docker.Error{Op: op, Object: object, Kind: kind, Text: fmt.Sprintf(format, args...)}
}

func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func matches(labels, want map[string]string) bool {
	for k, v := range want {
		got, ok := labels[k]
		if !ok || v != "" && got != v {
			return false
		}
	}
	return true
}

// Ping, Info and what else an engine says about itself.

// Ping implements Engine.
func (f *Fake) Ping(ctx context.Context) error { return f.begin(ctx, "Ping", "") }

// Info implements Engine.
func (f *Fake) Info(ctx context.Context) (*docker.EngineInfo, error) {
	if err := f.begin(ctx, "Info", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	info := f.info
	return &info, nil
}

// DiskUsage implements Engine.
func (f *Fake) DiskUsage(ctx context.Context) (*docker.DiskUsage, error) {
	if err := f.begin(ctx, "DiskUsage", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	usage := &docker.DiskUsage{Containers: map[string]int64{}, Volumes: map[string]int64{}}
	for id, c := range f.containers {
		usage.Containers[id] = c.files.size()
	}
	for name, v := range f.volumes {
		usage.Volumes[name] = v.files.size()
	}
	return usage, nil
}

// Stats implements Engine.
func (f *Fake) Stats(ctx context.Context, id string) (*docker.Stats, error) {
	if err := f.begin(ctx, "Stats", id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find("read the usage of container", id)
	if err != nil {
		return nil, err
	}
	s := f.stats[c.id]
	s.Networks = maps.Clone(s.Networks)
	return &s, nil
}

// Features implements Engine.
func (f *Fake) Features() docker.Features {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.features
}

// APIVersion implements Engine.
func (f *Fake) APIVersion() string { return docker.MinAPIVersion }

// Host implements Engine.
func (f *Fake) Host() string { return "unix:///fake.sock" }

// HostSource implements Engine.
func (f *Fake) HostSource() string { return "the test" }

// Local implements Engine.
func (f *Fake) Local() bool { return true }

// Close implements Engine.
func (f *Fake) Close() error { return nil }
