package livesync

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

func TestParse(t *testing.T) {
	ref := plan.Ref{Kind: "Deployment", Name: "web"}
	rules, err := Parse(ref, map[string]string{
		"skiff.local/sync": "./src:/app/src, static:/app/static/", "skiff.local/sync.side": "/abs:/x", "skiff.local/sync-exec": "kill -HUP 1", "other": "x",
	}, "/k", []string{"main", "side"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Rule{
		{Ref: ref, Container: "main", Local: "/k/src", Remote: "/app/src", Exec: "kill -HUP 1"},
		{Ref: ref, Container: "main", Local: "/k/static", Remote: "/app/static", Exec: "kill -HUP 1"},
		{Ref: ref, Container: "side", Local: "/abs", Remote: "/x", Exec: "kill -HUP 1"},
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("unexpected rules (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "src", "src:relative", ":/app"} {
		if _, err := Parse(ref, map[string]string{"skiff.local/sync": bad}, "/k", []string{"main"}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// fakeContainers are file systems that understand tar, rm and sh.
type fakeContainers struct {
	mu    sync.Mutex
	files map[string]map[string]string // by pod
	ran   []string
	fail  error
}

func (f *fakeContainers) Exec(_ context.Context, _, pod, _ string, command []string, stdin io.Reader) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	if f.files[pod] == nil {
		f.files[pod] = map[string]string{}
	}
	switch command[0] {
	case "tar":
		in := tar.NewReader(stdin)
		for {
			header, err := in.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			data, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			f.files[pod]["/"+header.Name] = string(data)
		}
	case "rm":
		for _, name := range command[3:] {
			delete(f.files[pod], name)
		}
	case "sh":
		f.ran = append(f.ran, pod+": "+command[2])
	}
	return nil
}

func (f *fakeContainers) Restart(_ context.Context, _, pod, container string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ran = append(f.ran, pod+": restart "+container)
	return nil
}

func (f *fakeContainers) list(pod string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for name, text := range f.files[pod] {
		all = append(all, name+"="+text)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func pod(name, id string, started time.Time) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "d"}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
		{Name: "main", ContainerID: id, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(started)}}},
	}}}
}

func TestContainersFollowLocalFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.txt", "1")
	write("b.txt", "1")
	write("deep/c.txt", "1")
	fake := &fakeContainers{files: map[string]map[string]string{}}
	var mu sync.Mutex
	pods := []*corev1.Pod{pod("p1", "id1", time.Now().Add(time.Second))}
	var events []event.Event
	s := New(Config{Executor: fake,
		Pods: func(plan.Ref) []*corev1.Pod { mu.Lock(); defer mu.Unlock(); return pods },
		Emit: func(e event.Event) { mu.Lock(); defer mu.Unlock(); events = append(events, e) },
	})
	rule := Rule{Ref: plan.Ref{Kind: "Deployment", Name: "web"}, Container: "main", Local: dir, Remote: "/app", Exec: "reload"}
	s.SetRules([]Rule{rule})
	pass := func() {
		s.Scan(func(string) {})
		for _, j := range s.jobs() {
			s.carryOut(t.Context(), j)
		}
	}
	expect := func(what, podName, want string) {
		t.Helper()
		pass()
		if got := fake.list(podName); got != want {
			t.Errorf("%s: %s has %q, want %q", what, podName, got, want)
		}
	}
	expect("nothing changed since the container started", "p1", "")
	write("a.txt", "22")
	write("new.txt", "n")
	write("ignored.txt~", "x")
	expect("changed and new files", "p1", "/app/a.txt=22 /app/new.txt=n")
	if len(fake.ran) != 1 || fake.ran[0] != "p1: reload" {
		t.Errorf("ran %v", fake.ran)
	}
	before := len(events)
	expect("nothing new", "p1", "/app/a.txt=22 /app/new.txt=n")
	if len(events) != before {
		t.Error("something was done although nothing changed")
	}
	if err := os.Remove(filepath.Join(dir, "new.txt")); err != nil {
		t.Fatal(err)
	}
	expect("a removed file", "p1", "/app/a.txt=22")
	mu.Lock()
	pods = append(pods, pod("p2", "id2", time.Now().Add(time.Second)))
	mu.Unlock()
	expect("a new container gets what changed", "p2", "/app/a.txt=22")
	s.Built(filepath.Dir(dir))
	mu.Lock()
	pods = []*corev1.Pod{pod("p3", "id3", time.Now().Add(time.Second))}
	mu.Unlock()
	expect("after a build the image has it", "p3", "")

	fake.fail = errors.New("tar: not found")
	write("a.txt", "333")
	pass()
	pass()
	failures := 0
	for _, e := range events {
		if e.Type == event.SyncFailed {
			failures++
		}
	}
	if failures != 1 {
		t.Errorf("%d failures were said, want one per container", failures)
	}
}

// What restarted in place has its files still: nothing is copied again, so nothing is restarted again.
func TestARestartAfterACopyIsOne(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(file, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	fake := &fakeContainers{files: map[string]map[string]string{}}
	pods := []*corev1.Pod{pod("p1", "id1", time.Now().Add(time.Second))}
	s := New(Config{Executor: fake, Pods: func(plan.Ref) []*corev1.Pod { return pods }, Emit: func(event.Event) {}})
	s.SetRules([]Rule{{Ref: plan.Ref{Kind: "Deployment", Name: "web"}, Container: "main", Local: dir, Remote: "/app", Exec: "prepare", Restart: true}})
	pass := func() {
		s.Scan(func(string) {})
		for _, j := range s.jobs() {
			s.carryOut(t.Context(), j)
		}
	}
	pass()
	if err := os.WriteFile(file, []byte("22"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		pass()
	}
	if want := []string{"p1: prepare", "p1: restart main"}; !slices.Equal(fake.ran, want) {
		t.Errorf("ran %q, want %q", fake.ran, want)
	}
}
