package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// Contract checks an engine against what skiff relies on. helper is an image with skiff's helper, for killing execs.
func Contract(t *testing.T, eng Engine, helper string) {
	image := ProgImage(t, eng)
	for _, area := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"containers", containers}, {"processes", processes}, {"exec", execs}, {"streams", streams},
		{"files", files}, {"events", events}, {"images", images}, {"networks", networks}, {"volumes", volumes},
	} {
		t.Run(area.name, func(t *testing.T) { area.run(t, &suite{eng: eng, image: image, helper: helper}) })
	}
}

// suite is what the checks of one area share.
type suite struct {
	Engine
	eng    Engine
	image  string
	helper string
}

// patience bounds every wait for something that should happen at once. Generous: the machine may be busy.
const patience = 30 * time.Second

func (s *suite) labels() map[string]string {
	return map[string]string{docker.LabelProfile: "t-contract", "skiff.local/test": UniqueName("run")}
}

// spec is a container that runs the given steps of package prog.
func (s *suite) spec(steps ...string) docker.ContainerSpec {
	return docker.ContainerSpec{Name: UniqueName("c"), Image: s.image, Cmd: steps, Network: "none", Labels: s.labels()}
}

// create makes a container that is removed when the test ends.
func (s *suite) create(t *testing.T, spec docker.ContainerSpec) string {
	t.Helper()
	id, err := s.eng.CreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := s.eng.RemoveContainer(context.WithoutCancel(t.Context()), id, docker.RemoveOptions{Force: true, Volumes: true})
		if err != nil && !errors.Is(err, docker.ErrNotFound) {
			t.Errorf("clean up: %v", err)
		}
	})
	return id
}

// start makes and starts one.
func (s *suite) start(t *testing.T, spec docker.ContainerSpec) string {
	t.Helper()
	id := s.create(t, spec)
	if err := s.eng.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return id
}

// finish starts one and waits for its end.
func (s *suite) finish(t *testing.T, spec docker.ContainerSpec) (id string, code int) {
	t.Helper()
	id = s.start(t, spec)
	code, err := s.eng.WaitContainer(t.Context(), id, docker.WaitNotRunning)
	if err != nil {
		t.Fatal(err)
	}
	return id, code
}

func (s *suite) inspect(t *testing.T, id string) *docker.Container {
	t.Helper()
	c, err := s.eng.InspectContainer(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *suite) logs(t *testing.T, id string, opts docker.LogOptions) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if err := s.eng.Logs(t.Context(), id, opts, &out, &errs); err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String()
}

// logged waits until a container's log has a text.
func (s *suite) logged(t *testing.T, id, text string) {
	t.Helper()
	eventually(t, "the log says "+text, func() bool {
		out, errs := s.logs(t, id, docker.LogOptions{})
		return strings.Contains(out+errs, text)
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("still not after %v: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func wantError(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v, want %v", what, err, kind)
	}
}

// within bounds a call that must not hang.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// buffer is a bytes.Buffer that may be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
