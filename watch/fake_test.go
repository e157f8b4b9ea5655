package watch

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

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
	"skiff.local/skiff/watch/source"
)

// fakeCluster is a cluster of the loop's own terms: it remembers members, and fails where a test tells it to.
type fakeCluster struct {
	mu      sync.Mutex
	members map[plan.Ref]plan.Member
	objects map[plan.Ref]*unstructured.Unstructured
	fail    map[string]error // by Kind/name, for Apply
	kinds   map[string]bool  // nil: all kinds are known
	away    error
	calls   []string
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{members: map[plan.Ref]plan.Member{}, objects: map[plan.Ref]*unstructured.Unstructured{}, fail: map[string]error{}}
}

func (f *fakeCluster) Learn(objects []*unstructured.Unstructured) {}
func (f *fakeCluster) Version() string                            { return "" }
func (f *fakeCluster) Refresh()                                   {}

func (f *fakeCluster) Resolve(obj *unstructured.Unstructured) (plan.Ref, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gvk := obj.GroupVersionKind()
	if f.kinds != nil && !f.kinds[gvk.Kind] {
		return plan.Ref{}, &cluster.UnknownKindError{GVK: gvk}
	}
	ref := plan.Ref{Group: gvk.Group, Kind: gvk.Kind, Name: obj.GetName(), Namespace: obj.GetNamespace()}
	if ref.Namespace == "" && gvk.Kind != "Namespace" {
		ref.Namespace = "default"
	}
	return ref, nil
}

func (f *fakeCluster) Members(context.Context) ([]plan.Member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var members []plan.Member
	for _, member := range f.members {
		members = append(members, member)
	}
	return members, f.away
}

func (f *fakeCluster) Remember(context.Context, []plan.Ref) error { return f.away }
func (f *fakeCluster) Forget(context.Context, []plan.Ref) error   { return f.away }

func (f *fakeCluster) Apply(_ context.Context, r cluster.Request) (cluster.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return cluster.Result{}, f.away
	}
	if err := f.fail[r.Ref.Kind+"/"+r.Ref.Name]; err != nil {
		return cluster.Result{}, err
	}
	result := cluster.Result{Action: cluster.Configured, Member: plan.Member{Ref: r.Ref, Hash: r.Hash, Unit: r.Unit}, Live: r.Object}
	if _, exists := f.members[r.Ref]; !exists {
		result.Action = cluster.Created
	}
	f.members[r.Ref], f.objects[r.Ref] = result.Member, r.Object
	f.calls = append(f.calls, fmt.Sprintf("%s %s", result.Action, r.Ref))
	return result, nil
}

func (f *fakeCluster) AwaitKind(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "await "+name)
	if f.kinds != nil {
		f.kinds["Widget"] = true
	}
	return nil
}

func (f *fakeCluster) Prune(_ context.Context, member plan.Member, _ bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.members, member.Ref)
	delete(f.objects, member.Ref)
	f.calls = append(f.calls, "pruned "+member.Ref.String())
	return nil
}

func (f *fakeCluster) Explain(_ context.Context, _ cluster.Request, err error) []cluster.Explanation {
	return []cluster.Explanation{{Reason: err.Error(), Retry: !strings.Contains(err.Error(), "final")}}
}

func (f *fakeCluster) Restart(_ context.Context, ref plan.Ref, _ string, _ []string, annotations map[string]string) (*unstructured.Unstructured, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call := fmt.Sprintf("restarted %s %v", ref, annotations)
	changed := !slices.Contains(f.calls, call)
	f.calls = append(f.calls, call)
	return &unstructured.Unstructured{Object: map[string]any{}}, changed, nil
}

// names are the objects that the fake holds, as Kind/name=value of the key x.
func (f *fakeCluster) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{}
	for ref, obj := range f.objects {
		value, _, _ := unstructured.NestedString(obj.Object, "data", "x")
		names = append(names, ref.Name+"="+value)
	}
	slices.Sort(names)
	return names
}

func (f *fakeCluster) setFail(key string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[key] = err
}

func (f *fakeCluster) setAway(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = err
}

func (f *fakeCluster) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// bench is a running set on a directory and a fake cluster.
type bench struct {
	t       *testing.T
	dir     string
	cluster *fakeCluster
	set     *Set
	stop    func()

	mu     sync.Mutex
	events []event.Event
}

// make makes a set on the paths below the bench's directory, or on the directory itself.
func (b *bench) make(change func(*Config), paths ...string) *Set {
	b.t.Helper()
	if len(paths) == 0 {
		paths = []string{""}
	}
	config := Config{Settle: 120 * time.Millisecond}
	for _, path := range paths {
		src, err := source.New(filepath.Join(b.dir, path))
		if err != nil {
			b.t.Fatal(err)
		}
		src.Name = filepath.Join("k", path)
		config.Definition.Sources = append(config.Definition.Sources, src)
	}
	config.Events = func(e event.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}
	if change != nil {
		change(&config)
	}
	var err error
	if config.Definition, err = config.Definition.Complete(); err != nil {
		b.t.Fatal(err)
	}
	return newSet(config, b.cluster)
}

// start runs a set until the test ends, and waits for its first pass.
func start(t *testing.T, dir string, fake *fakeCluster, change func(*Config), paths ...string) *bench {
	t.Helper()
	b := &bench{t: t, dir: dir, cluster: fake}
	b.set = b.make(change, paths...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.set.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	var once sync.Once
	b.stop = func() { once.Do(func() { cancel(); <-ended }) }
	t.Cleanup(b.stop)
	b.await("the first pass", func(e event.Event) bool { return e.Type == event.Watching })
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

// write saves a file the plain way.
func (b *bench) write(name, text string) {
	b.t.Helper()
	writeFile(b.t, b.path(name), text)
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// do fails the test when err isn't nil.
func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for an event.
func (b *bench) await(what string, match func(event.Event) bool) event.Event {
	b.t.Helper()
	var found event.Event
	b.until(what, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range b.events {
			if match(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// holds waits until the cluster holds exactly these objects.
func (b *bench) holds(want ...string) {
	b.t.Helper()
	slices.Sort(want)
	if want == nil {
		want = []string{}
	}
	b.until(fmt.Sprintf("the cluster to hold %v", want), func() bool { return slices.Equal(b.cluster.names(), want) })
}

func (b *bench) until(what string, done func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			b.mu.Lock()
			defer b.mu.Unlock()
			var lines []string
			for _, e := range b.events {
				lines = append(lines, string(e.Type)+" "+e.String())
			}
			b.t.Fatalf("waited in vain for %s; the cluster holds %v\nevents:\n%s\ncalls: %v", what, b.cluster.names(), strings.Join(lines, "\n"), b.cluster.log())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// forget drops the events so far, so that await waits for new ones.
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

// config is a ConfigMap manifest.
func config(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  x: %q\n", name, value)
}

var _ = schema.GroupVersionKind{}
