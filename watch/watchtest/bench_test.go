package watchtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/source"
)

// bench is a set on a directory, in a namespace of its own.
type bench struct {
	t         *testing.T
	dir       string
	namespace string
	change    func(*watch.Config)

	set  *watch.Set
	stop func()

	mu     sync.Mutex
	events []event.Event
}

func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	ns, err := shared.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}, metav1.CreateOptions{})
	check(t, err)
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "k"), namespace: ns.Name, stop: func() {}}
	t.Cleanup(func() {
		b.stop()
		_ = shared.client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{})
	})
	check(t, os.MkdirAll(b.dir, 0o755))
	for name, text := range files {
		b.write(name, text)
	}
	b.until("the namespace's service account", func() bool {
		_, err := shared.client.CoreV1().ServiceAccounts(ns.Name).Get(context.Background(), "default", metav1.GetOptions{})
		return err == nil
	})
	return b
}

func (b *bench) config() watch.Config {
	config := watch.Config{
		REST:       shared.rest,
		Definition: watch.Definition{Namespace: b.namespace, Sources: []source.Source{{Path: b.dir, Name: "k"}}},
		Events: func(e event.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
	}
	if b.change != nil {
		b.change(&config)
	}
	return config
}

// run starts the set and waits for its first pass.
func (b *bench) run() *bench {
	b.t.Helper()
	set, err := watch.NewSet(b.config())
	check(b.t, err)
	b.set = set
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := set.Run(ctx); err != nil {
			b.t.Errorf("run: %v", err)
		}
	}()
	var once sync.Once
	b.stop = func() { once.Do(func() { cancel(); <-ended }) }
	b.await("the first pass", func(e event.Event) bool { return e.Type == event.Watching })
	return b
}

// once applies what is there and returns.
func (b *bench) once() *bench {
	b.t.Helper()
	config := b.config()
	config.Once = true
	set, err := watch.NewSet(config)
	check(b.t, err)
	b.set = set
	check(b.t, set.Run(b.t.Context()))
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	check(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(b.t, os.WriteFile(path, []byte(strings.ReplaceAll(text, "NS", b.namespace)), 0o644))
}

func (b *bench) remove(name string) {
	b.t.Helper()
	check(b.t, os.Remove(filepath.Join(b.dir, name)))
}

func (b *bench) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = nil
}

func (b *bench) seen() []event.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

func (b *bench) await(what string, match func(event.Event) bool) event.Event {
	b.t.Helper()
	var found event.Event
	b.until(what, func() bool {
		for _, e := range b.seen() {
			if match(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// action waits until something was done to an object, named Kind/name.
func (b *bench) action(object string, action event.Action) event.Event {
	b.t.Helper()
	return b.await(object+" "+string(action), func(e event.Event) bool {
		return e.Type == event.Object && e.Action == action && e.Object.Kind+"/"+e.Object.Name == object
	})
}

// lines are the events as text, one per line.
func (b *bench) lines() string {
	var out strings.Builder
	for _, e := range b.seen() {
		fmt.Fprintf(&out, "%-9s %s", e.Type, e.String())
		for _, note := range e.Notes {
			fmt.Fprintf(&out, " [%s]", note)
		}
		if e.Hint != "" {
			fmt.Fprintf(&out, " (%s)", e.Hint)
		}
		for _, line := range e.Lines {
			fmt.Fprintf(&out, "\n          | %s", line)
		}
		out.WriteString("\n")
	}
	return out.String()
}

func (b *bench) until(what string, done func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s\n%s", what, b.lines())
		}
		time.Sleep(time.Millisecond)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func config(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  x: %q\n", name, value)
}

func deployment(name, image string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: %[2]s
`, name, image)
}
