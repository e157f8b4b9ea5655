package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff.local/skiff/watch/build"
	"skiff.local/skiff/watch/event"
)

// fakeBuilder notes what it is asked for. The content of a file named fail in the context makes it fail.
type fakeBuilder struct {
	mu     sync.Mutex
	built  []string
	number int
}

func (f *fakeBuilder) Build(_ context.Context, image build.Image, output func(string)) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.number++
	f.built = append(f.built, image.Reference+" "+filepath.Base(image.Context))
	output("Step 1")
	if _, err := os.Stat(filepath.Join(image.Context, "fail")); err == nil {
		return "", &build.Error{Reference: image.Reference, Lines: []string{"no such package"}, Err: errors.New("exit status 1")}
	}
	return "sha256:" + strings.Repeat(string(rune('0'+f.number)), 12), nil
}

func (f *fakeBuilder) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.built)
}

func workload(name, image, annotations, policy string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: " + name + "\n  annotations: {" + annotations + "}\nspec:\n  template:\n    spec:\n      containers:\n" +
		"      - name: main\n        image: " + image + "\n        imagePullPolicy: " + policy + "\n"
}

func TestImagesAreBuiltWhenTheirSourcesChange(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	writeFile(t, dir+"/web.yaml", workload("web", "web:dev", `skiff.local/build: "../src target=run"`, "IfNotPresent"))
	writeFile(t, dir+"/shop.yaml", workload("shop", "registry.example/shop:1", "", "IfNotPresent"))
	writeFile(t, dir+"/db.yaml", workload("db", "postgres:16", "", "IfNotPresent"))
	writeFile(t, dir+"/Dockerfile", "FROM scratch\n")
	writeFile(t, dir+"/../src/Dockerfile", "FROM scratch\n")
	writeFile(t, dir+"/../src/deep/main.go", "1")
	builder := &fakeBuilder{}
	b := start(t, dir, newFakeCluster(), func(c *Config) { c.Definition.Build, c.Builder = true, builder })
	b.holds("db=", "shop=", "web=")
	want := []string{"registry.example/shop:1 shop", "web:dev src"}
	if got := builder.list(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Fatalf("built %v, want %v", got, want)
	}
	built := b.await("the builder's progress", func(e event.Event) bool { return e.Type == event.BuildOutput })
	if built.Message != "Step 1" {
		t.Errorf("progress %q", built.Message)
	}

	writeFile(t, dir+"/../src/deep/main.go", "2")
	b.until("another build of web", func() bool { return slices.Equal(builder.list()[2:], []string{"web:dev src"}) })
	b.until("new pods for web", func() bool {
		return slices.ContainsFunc(b.cluster.log(), func(call string) bool { return strings.HasPrefix(call, "restarted Deployment default/web") })
	})
	// Saving a manifest builds nothing, nor does what did not change.
	writeFile(t, dir+"/db.yaml", workload("db", "postgres:17", "", "IfNotPresent"))
	time.Sleep(150 * time.Millisecond)
	if got := builder.list(); len(got) > 4 || slices.Contains(got[3:], "web:dev src") {
		// The Dockerfile beside the manifests has them in its context, so that one image is built again.
		t.Errorf("built %v", got)
	}
}

func TestAFailedBuildHoldsBackWhatWasNeverBuilt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "web")
	writeFile(t, dir+"/web.yaml", workload("web", "web", "", "Never"))
	writeFile(t, dir+"/Dockerfile", "FROM scratch\n")
	writeFile(t, dir+"/fail", "")
	b := start(t, dir, newFakeCluster(), func(c *Config) { c.Definition.Build, c.Builder = true, &fakeBuilder{} })
	failed := b.await("the failure", func(e event.Event) bool { return e.Type == event.BuildFailed })
	if len(failed.Lines) != 1 || failed.File != filepath.Join(dir, "Dockerfile") {
		t.Errorf("failure %+v", failed)
	}
	time.Sleep(100 * time.Millisecond)
	b.holds()
	do(t, os.Remove(dir+"/fail"))
	b.holds("web=")
}

func TestOnceBuildsFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "web")
	writeFile(t, dir+"/web.yaml", workload("web", "web", "", "Never"))
	writeFile(t, dir+"/Dockerfile", "FROM scratch\n")
	b := &bench{t: t, dir: dir, cluster: newFakeCluster()}
	builder := &fakeBuilder{}
	s := b.make(func(c *Config) { c.Once, c.Definition.Build, c.Builder = true, true, builder })
	do(t, s.Run(t.Context()))
	if len(builder.list()) != 1 {
		t.Errorf("built %v", builder.list())
	}
	b.holds("web=")
	for _, call := range b.cluster.log() {
		if strings.HasPrefix(call, "restarted") {
			t.Errorf("pods that start with the new image were replaced: %s", call)
		}
	}
}
