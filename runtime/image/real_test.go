package image_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
	"skiff.local/skiff/runtime/image/credential"
	"skiff.local/skiff/runtime/runtimetest"
)

// TestPullsOnTheRealEngine pulls from a registry on loopback.
func TestPullsOnTheRealEngine(t *testing.T) {
	eng := runtimetest.Connect(t)
	registry := runtimetest.NewRegistry(t, eng)
	m := image.NewManager(image.Config{Engine: eng})
	name := func(t *testing.T, repository string) string {
		ref := registry.Host + "/" + repository + "/" + runtimetest.UniqueName("app") + ":1"
		t.Cleanup(func() {
			err := eng.RemoveImage(context.WithoutCancel(t.Context()), ref, docker.RemoveImageOptions{Force: true, PruneChildren: true})
			if err != nil && !errors.Is(err, docker.ErrNotFound) {
				t.Error(err)
			}
		})
		return ref
	}
	t.Run("a missing image is pulled once", func(t *testing.T) {
		ref := name(t, "public")
		info, err, events := ensure(t, m, ref, image.IfNotPresent)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != 2 || !strings.HasPrefix(events[1], "Pulled: Successfully pulled image") {
			t.Errorf("events %q", events)
		}
		repository, _, _ := strings.Cut(ref, ":1")
		repository = strings.TrimSuffix(ref, ":1")
		if got := image.StatusID(info, ref); got != repository+"@"+registry.Digest {
			t.Errorf("status id %s", got)
		}
		registry.Requests()
		if _, err, _ := ensure(t, m, ref, image.IfNotPresent); err != nil || len(registry.Requests()) != 0 {
			t.Errorf("the second time asked the registry: %v", err)
		}
		if _, err, _ := ensure(t, m, ref, image.Always); err != nil || len(registry.Requests()) == 0 {
			t.Errorf("Always did not ask the registry: %v", err)
		}
		if _, err, _ := ensure(t, m, repository+"@"+registry.Digest, image.Never); err != nil {
			t.Errorf("by digest: %v", err)
		}
	})
	t.Run("progress is seen", func(t *testing.T) {
		var seen []docker.PullProgress
		err := eng.PullImage(t.Context(), name(t, "progress"), docker.PullOptions{Progress: func(p docker.PullProgress) { seen = append(seen, p) }})
		if err != nil || len(seen) == 0 {
			t.Errorf("%v, %d messages", err, len(seen))
		}
	})
	t.Run("a missing manifest is not found, whatever is there locally", func(t *testing.T) {
		ref := name(t, "missing")
		_, err, _ := ensure(t, m, ref, image.IfNotPresent)
		if reason(err) != image.ReasonPull || !errors.Is(err, docker.ErrNotFound) || !errors.Is(err, docker.ErrRegistry) {
			t.Errorf("got %v", err)
		}
		prog := runtimetest.ProgImage(t, eng)
		if err := eng.TagImage(t.Context(), prog, ref); err != nil {
			t.Fatal(err)
		}
		if _, err, _ := ensure(t, m, ref, image.Always); reason(err) != image.ReasonPull {
			t.Errorf("Always: %v", err)
		}
	})
	t.Run("a registry that is away or unwell leaves the local image", func(t *testing.T) {
		prog := runtimetest.ProgImage(t, eng)
		unwell := name(t, "unwell")
		away := "127.0.0.1:1/" + runtimetest.UniqueName("app") + ":1"
		for _, ref := range []string{unwell, away} {
			if err := eng.TagImage(t.Context(), prog, ref); err != nil {
				t.Fatal(err)
			}
		}
		defer func() { _ = eng.RemoveImage(context.WithoutCancel(t.Context()), away, docker.RemoveImageOptions{}) }()
		registry.Break(true)
		defer registry.Break(false)
		for _, ref := range []string{unwell, away} {
			_, err, events := ensure(t, m, ref, image.Always)
			if err != nil || !slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "UsingLocalImage") }) {
				t.Errorf("%s: %v, %q", ref, err, events)
			}
		}
	})
	t.Run("a private repository needs its secret", func(t *testing.T) {
		registry.Require("me", "secret")
		defer registry.Require("", "")
		ref := name(t, "private")
		_, err, _ := ensure(t, m, ref, image.IfNotPresent)
		if reason(err) != image.ReasonPull || !strings.Contains(docker.Hint(err), "imagePullSecret") {
			t.Errorf("without: %v, hint %q", err, docker.Hint(err))
		}
		wrong := ring{{Username: "me", Password: "wrong"}}
		_, err = m.Ensure(t.Context(), image.Request{Image: ref, Keyring: wrong})
		if reason(err) != image.ReasonPull || !errors.Is(err, docker.ErrUnauthorized) {
			t.Errorf("with a wrong one: %v", err)
		}
		auth := base64.StdEncoding.EncodeToString([]byte("me:secret"))
		secrets, err := credential.FromSecrets([]v1.Secret{{
			Type: v1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{v1.DockerConfigJsonKey: []byte(`{"auths":{"` + registry.Host + `":{"auth":"` + auth + `"}}}`)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Ensure(t.Context(), image.Request{Image: ref, Keyring: secrets}); err != nil {
			t.Errorf("with: %v", err)
		}
	})
}

// TestOwnImagesRunOnTheRealEngine loads what is embedded and runs it.
func TestOwnImagesRunOnTheRealEngine(t *testing.T) {
	eng := runtimetest.Connect(t)
	ref, err := image.EnsureNode(t.Context(), eng)
	if err != nil {
		t.Fatalf("%v: %s", err, docker.Hint(err))
	}
	id, err := eng.CreateContainer(t.Context(), docker.ContainerSpec{
		Image: ref, Network: "none", Cmd: []string{"version"}, Labels: docker.ProfileLabels("t-image", docker.RoleHelper),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = eng.RemoveContainer(context.WithoutCancel(t.Context()), id, docker.RemoveOptions{Force: true})
	}()
	if err := eng.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if code, err := eng.WaitContainer(t.Context(), id, docker.WaitNotRunning); err != nil || code != 0 {
		t.Errorf("exit code %d, %v", code, err)
	}
}
