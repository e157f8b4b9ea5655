package image_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
	"skiff.local/skiff/runtime/runtimetest"
)

// notes collects the events of a request.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(e image.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, e.Reason+": "+e.Message)
}

func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}

func ensure(t *testing.T, m *image.Manager, name string, policy image.Policy) (*docker.ImageInfo, error, []string) {
	t.Helper()
	var n notes
	info, err := m.Ensure(t.Context(), image.Request{Image: name, Policy: policy, Notify: n.add})
	return info, err, n.take()
}

func reason(err error) string {
	var e *image.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestALocalImageIsUsableWithAnyPolicyButAlways(t *testing.T) {
	fake := runtimetest.NewFake()
	id := fake.AddImage("k8s-demo:0.1", docker.ImageInfo{}, nil)
	m := image.NewManager(image.Config{Engine: fake})
	for _, policy := range []image.Policy{image.IfNotPresent, image.Never, ""} {
		fake.Calls()
		info, err, events := ensure(t, m, "k8s-demo:0.1", policy)
		if err != nil || info.ID != id || !slices.Equal(events, []string{`Pulled: Container image "k8s-demo:0.1" already present on machine`}) {
			t.Errorf("%s: %v, %v, %q", policy, info, err, events)
		}
		if calls := fake.Calls(); len(calls) != 1 {
			t.Errorf("%s: it took %v", policy, calls)
		}
	}
	_, err, _ := ensure(t, m, "k8s-demo:0.1", image.Always)
	if reason(err) != image.ReasonPull || !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("Always, and the registry has none: %v", err)
	}
	if info, err, _ := ensure(t, m, id, image.Always); err != nil || info.ID != id {
		t.Errorf("by id: %v, %v", info, err)
	}
}

func TestAlwaysUsesTheLocalImageWhenTheRegistryIsAway(t *testing.T) {
	fake := runtimetest.NewFake()
	fake.SetRegistryDown(true)
	id := fake.AddImage("app:1", docker.ImageInfo{}, nil)
	m := image.NewManager(image.Config{Engine: fake})
	info, err, events := ensure(t, m, "app:1", image.Always)
	if err != nil || info.ID != id {
		t.Fatalf("%v, %v", info, err)
	}
	if len(events) != 2 || !strings.HasPrefix(events[1], `UsingLocalImage: The registry of image "app:1" could not be reached`) {
		t.Errorf("events %q", events)
	}
	if _, err, _ := ensure(t, m, "app:2", image.Always); reason(err) != image.ReasonPull {
		t.Errorf("absent: %v", err)
	}
}

func TestMissingImagesAreExplained(t *testing.T) {
	fake := runtimetest.NewFake()
	fake.AddImage("k8s-demo:0.2", docker.ImageInfo{}, nil)
	m := image.NewManager(image.Config{Engine: fake})
	for _, c := range []struct {
		name, reason string
		policy       image.Policy
		says, hint   string
	}{
		{"k8s-demo:0.1", image.ReasonNeverPull, image.Never, `is not present with pull policy of Never (local images with a similar name: k8s-demo:0.2)`, "local images"},
		{"k8s-demo:0.1", image.ReasonPull, image.IfNotPresent, `k8s-demo:0.2`, "local images"},
		{"unheard-of", image.ReasonPull, image.IfNotPresent, `Failed to pull image "unheard-of": pull access denied`, "imagePullSecret"},
		{"Not:A:Name", image.ReasonInvalidName, image.IfNotPresent, `couldn't parse image name "Not:A:Name"`, ""},
	} {
		_, err, events := ensure(t, m, c.name, c.policy)
		if reason(err) != c.reason || !strings.Contains(err.Error(), c.says) || !strings.Contains(docker.Hint(err), c.hint) {
			t.Errorf("%s: %v, hint %q", c.name, err, docker.Hint(err))
		}
		if len(events) == 0 || !strings.Contains(events[len(events)-1], err.Error()) {
			t.Errorf("%s: the events don't say it: %q", c.name, events)
		}
	}
}

func TestAPullIsMadeOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := runtimetest.NewFake()
		gate := make(chan struct{})
		fake.SetRemote("app:1", runtimetest.RemoteImage{Gate: gate, Info: docker.ImageInfo{Size: 7}})
		m := image.NewManager(image.Config{Engine: fake})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err, _ := ensure(t, m, "app:1", image.IfNotPresent); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if len(m.Pulls()) != 1 {
			t.Errorf("listed: %v", m.Pulls())
		}
		close(gate)
		wg.Wait()
		pulls := 0
		for _, c := range fake.Calls() {
			if c.Method == "PullImage" {
				pulls++
			}
		}
		if pulls != 1 || len(m.Pulls()) != 0 {
			t.Errorf("%d pulls, %v still listed", pulls, m.Pulls())
		}
	})
}

func TestAPullEndsWithItsLastWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := runtimetest.NewFake()
		fake.SetRemote("app:1", runtimetest.RemoteImage{Gate: make(chan struct{})})
		m := image.NewManager(image.Config{Engine: fake})
		first, leave := context.WithCancel(t.Context())
		results := make(chan error, 2)
		wait := func(ctx context.Context) {
			_, err := m.Ensure(ctx, image.Request{Image: "app:1"})
			results <- err
		}
		second, leaveToo := context.WithCancel(t.Context())
		go wait(first)
		go wait(second)
		synctest.Wait()
		leave()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("first: %v", err)
		}
		synctest.Wait()
		if len(m.Pulls()) != 1 {
			t.Error("the pull went with the first of two waiters")
		}
		leaveToo()
		<-results
		synctest.Wait()
		if len(m.Pulls()) != 0 {
			t.Error("nobody waits and it still pulls")
		}
	})
}

func TestAPullThatStallsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := runtimetest.NewFake()
		fake.SetRemote("app:1", runtimetest.RemoteImage{Gate: make(chan struct{})})
		m := image.NewManager(image.Config{Engine: fake, Stall: time.Minute})
		began := time.Now()
		_, err, _ := ensure(t, m, "app:1", image.IfNotPresent)
		if reason(err) != image.ReasonPull || !strings.Contains(err.Error(), "no progress for 1m") || time.Since(began) < time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestPullsWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := runtimetest.NewFake()
		gate := make(chan struct{})
		names := []string{"a:1", "b:1", "c:1"}
		for _, n := range names {
			fake.SetRemote(n, runtimetest.RemoteImage{Gate: gate})
		}
		m := image.NewManager(image.Config{Engine: fake, Parallel: 2})
		var wg sync.WaitGroup
		for _, n := range names {
			wg.Go(func() {
				if _, err, _ := ensure(t, m, n, image.IfNotPresent); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		running := 0
		for _, c := range fake.Calls() {
			if c.Method == "PullImage" {
				running++
			}
		}
		if running != 2 || len(m.Pulls()) != 3 {
			t.Errorf("%d pulls run, %d are listed", running, len(m.Pulls()))
		}
		close(gate)
		wg.Wait()
	})
}

// ring is a keyring with fixed credentials.
type ring []docker.RegistryAuth

func (r ring) Lookup(context.Context, image.Reference) []docker.RegistryAuth { return r }

// picky is an engine whose registry takes one password.
type picky struct {
	*runtimetest.Fake
	password string
	tried    []string
}

func (p *picky) PullImage(ctx context.Context, ref string, opts docker.PullOptions) error {
	p.tried = append(p.tried, opts.Auth.Password)
	if opts.Auth.Password != p.password {
		return &docker.Error{Op: "pull image", Object: ref, Kind: docker.ErrUnauthorized, Also: docker.ErrRegistry, Text: "unauthorized: wrong password"}
	}
	return p.Fake.PullImage(ctx, ref, opts)
}

func TestCredentialsAreTriedInOrder(t *testing.T) {
	fake := runtimetest.NewFake()
	fake.SetRemote("app:1", runtimetest.RemoteImage{})
	eng := &picky{Fake: fake, password: "host"}
	m := image.NewManager(image.Config{Engine: eng, Host: ring{{Password: "host"}}})
	_, err := m.Ensure(t.Context(), image.Request{Image: "app:1", Policy: image.Always, Keyring: ring{{Password: "old"}, {Password: "other"}}})
	if err != nil || !slices.Equal(eng.tried, []string{"old", "other", "host"}) {
		t.Errorf("tried %q: %v", eng.tried, err)
	}
	eng.password, eng.tried = "none of them", nil
	_, err = m.Ensure(t.Context(), image.Request{Image: "app:1", Policy: image.Always})
	if reason(err) != image.ReasonPull || !errors.Is(err, docker.ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
}

func TestOwnImagesAreLoadedOnceAndRemoved(t *testing.T) {
	fake := runtimetest.NewFake()
	ref, err := image.EnsureNode(t.Context(), fake)
	if errors.Is(err, image.ErrNotEmbedded) {
		t.Fatalf("%v: %s", err, docker.Hint(err))
	}
	if err != nil || !strings.HasPrefix(ref, image.NodeRepository+":") {
		t.Fatal(ref, err)
	}
	fake.Calls()
	if again, err := image.EnsureNode(t.Context(), fake); err != nil || again != ref {
		t.Error(again, err)
	}
	if calls := fake.Calls(); len(calls) != 1 || calls[0].Method != "InspectImage" {
		t.Errorf("the second time took %v", calls)
	}
	refs, err := image.EnsureHello(t.Context(), fake)
	if err != nil || !slices.Equal(refs, []string{"skiff.local/hello:1.0", "skiff.local/hello:2.0"}) {
		t.Fatal(refs, err)
	}
	// An image of the same name that is not ours, or of another build, is replaced.
	fake.AddImage(refs[0], docker.ImageInfo{}, nil)
	if _, err := image.EnsureHello(t.Context(), fake); err != nil {
		t.Fatal(err)
	}
	if info, err := fake.InspectImage(t.Context(), refs[0]); err != nil || !slices.Contains(info.Env, "HELLO_VERSION=1.0") {
		t.Errorf("%+v, %v", info, err)
	}
	// What a user built on one of ours has our labels.
	inherited, err := fake.InspectImage(t.Context(), refs[0])
	if err != nil {
		t.Fatal(err)
	}
	fake.AddImage("app:dev", docker.ImageInfo{Labels: inherited.Labels}, nil)
	if n, err := image.RemoveOwn(t.Context(), fake, ref); err != nil || n != 2 {
		t.Errorf("removed %d, %v", n, err)
	}
	if _, err := fake.InspectImage(t.Context(), "app:dev"); err != nil {
		t.Errorf("the user's image went: %v", err)
	}
	if _, err := fake.InspectImage(t.Context(), ref); err != nil {
		t.Errorf("the kept image went: %v", err)
	}
}
