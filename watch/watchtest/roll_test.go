package watchtest

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/build"
	"skiff.local/skiff/watch/event"
)

func TestAMovedImageRollsThePodsThatUseIt(t *testing.T) {
	b := newBench(t, map[string]string{
		"web.yaml":   deployment("web", "app"),
		"other.yaml": deployment("other", "db:1"),
		"out.yaml":   strings.Replace(deployment("out", "app"), "  name: out\n", "  name: out\n  annotations: {skiff.local/follow-image: \"false\"}\n", 1),
	}).run()
	b.outcome("Deployment/web", event.Ready)
	b.outcome("Deployment/out", event.Ready)
	b.outcome("Deployment/other", event.Ready)
	b.forget()
	b.set.ImageMoved("app:latest", "sha256:test") // what the pods run already
	time.Sleep(200 * time.Millisecond)
	if out := b.lines(); out != "" {
		t.Errorf("a tag that did not move rolled something:\n%s", out)
	}
	b.set.ImageMoved("docker.io/library/app:latest", "sha256:0123456789abcdef")
	b.action("Deployment/web", event.Restarted)
	b.outcome("Deployment/web", event.Ready)
	for _, e := range b.seen() {
		if e.Object != nil && e.Object.Name != "web" {
			t.Errorf("%s was touched", e.Object)
		}
	}
	web, err := shared.client.AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	check(t, err)
	if got := web.Spec.Template.Annotations["image.skiff.local/main"]; got != "0123456789abcdef" {
		t.Errorf("the template says %q", got)
	}
	// The next save neither takes the annotation away nor fights about it.
	b.forget()
	b.write("web.yaml", strings.Replace(deployment("web", "app"), "spec:\n  selector", "spec:\n  replicas: 2\n  selector", 1))
	e := b.action("Deployment/web", event.Configured)
	if got := strings.Join(e.Fields, " "); got != "spec.replicas" || len(e.Notes) > 0 {
		t.Errorf("changed %q, notes %q", got, e.Notes)
	}
}

func TestAMovedImageReplacesABarePod(t *testing.T) {
	b := newBench(t, map[string]string{"p.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: app}]}\n"}).run()
	b.outcome("Pod/p", event.Ready)
	b.forget()
	b.set.ImageMoved("app:latest", "sha256:0123456789abcdef")
	b.action("Pod/p", event.Restarted)
	b.action("Pod/p", event.Created)
}

func TestChangedConfigurationRollsThePodsThatReadIt(t *testing.T) {
	web := strings.Replace(deployment("web", "a"), "        image: a\n", "        image: a\n        envFrom: [{configMapRef: {name: c}}]\n", 1)
	b := newBench(t, map[string]string{"web.yaml": web, "c.yaml": config("c", "1"), "other.yaml": deployment("other", "a")})
	b.change = func(c *watch.Config) { c.Definition.RollOnConfig = true }
	b.run()
	b.outcome("Deployment/web", event.Ready)
	b.forget()
	b.write("c.yaml", config("c", "2"))
	b.action("ConfigMap/c", event.Configured)
	e := b.action("Deployment/web", event.Configured)
	if got := strings.Join(e.Fields, " "); got != "spec.template.metadata.annotations[skiff.local/config]" {
		t.Errorf("changed %q", got)
	}
	// A broken file is no changed configuration.
	b.forget()
	b.write("c.yaml", "broken: [")
	time.Sleep(300 * time.Millisecond)
	for _, e := range b.seen() {
		if e.Type == event.Object {
			t.Errorf("%s", e)
		}
	}
}

// What is built while its pods start is what they start with, as with `up -d --build`, where two build the same.
func TestPodsThatAreBeingStartedAreAskedWhatTheyRun(t *testing.T) {
	b := newBench(t, map[string]string{"same.yaml": deployment("same", "slow:1"), "other.yaml": deployment("other", "slow:2")}).run()
	b.set.ImageMoved("slow:1", "sha256:test")
	b.set.ImageMoved("slow:2", "sha256:0123456789abcdef")
	b.action("Deployment/other", event.Restarted)
	b.outcome("Deployment/same", event.Ready)
	b.outcome("Deployment/other", event.Ready)
	for _, e := range b.seen() {
		if e.Action == event.Restarted && e.Object.Name == "same" {
			t.Errorf("%s", e)
		}
	}
	// A second move to the same image, as another run's, finds the template told already.
	b.forget()
	again, err := watch.NewSet(b.config())
	check(t, err)
	b.stop()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- again.Run(ctx) }()
	b.await("the second run's first pass", func(e event.Event) bool { return e.Type == event.Watching })
	again.ImageMoved("slow:2", "sha256:0123456789abcdef")
	b.write("new.yaml", config("new", "1"))
	b.action("ConfigMap/new", event.Created)
	cancel()
	check(t, <-ended)
	for _, e := range b.seen() {
		if e.Action == event.Restarted {
			t.Errorf("the second run: %s", e)
		}
	}
}

type builder struct{ id string }

func (b builder) Build(context.Context, build.Image, func(string)) (string, error) { return b.id, nil }

// A run that ends after its apply can't wait for what pods say: what it built must run nevertheless.
func TestOneRunRollsWhatItBuilt(t *testing.T) {
	b := newBench(t, map[string]string{
		"web.yaml":   strings.Replace(deployment("web", "app"), "        image: app\n", "        image: app\n        imagePullPolicy: Never\n", 1),
		"Dockerfile": "FROM scratch\n",
	})
	id := "sha256:0001"
	b.change = func(c *watch.Config) { c.Definition.Build, c.Builder = true, builder{id} }
	b.once()
	b.action("Deployment/web", event.Created)
	for _, e := range b.seen() {
		if e.Action == event.Restarted {
			t.Errorf("what was made after the build was replaced: %s", e)
		}
	}
	b.forget()
	id = "sha256:0002"
	b.once()
	b.action("Deployment/web", event.Restarted)
	b.forget()
	b.once()
	for _, e := range b.seen() {
		if e.Action == event.Restarted {
			t.Errorf("the same image was rolled again: %s", e)
		}
	}
}
