package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loop is a `skiff up` that runs beside the test and tells its events.
type loop struct {
	command *exec.Cmd
	events  chan upEvent
}

type upEvent struct {
	Type, Action, File, Message string
	Line                        int
	Object                      *struct{ Kind, Name string }
}

func startLoop(t *testing.T, args ...string) *loop {
	t.Helper()
	l := &loop{command: exec.Command(shared.bin, append([]string{"up", "-o", "json"}, args...)...), events: make(chan upEvent, 1000)}
	l.command.Env = shared.env
	out, err := l.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(l.events)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e upEvent
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				l.events <- e
			}
		}
	}()
	t.Cleanup(func() { l.interrupt() })
	return l
}

// interrupt is Ctrl-C.
func (l *loop) interrupt() {
	_ = l.command.Process.Signal(os.Interrupt)
	_ = l.command.Wait()
}

// until waits for an event, and returns it.
func (l *loop) until(t *testing.T, what string, want func(upEvent) bool) upEvent {
	t.Helper()
	timeout := time.After(30 * time.Second)
	var seen []string
	for {
		select {
		case e, open := <-l.events:
			if !open {
				t.Fatalf("skiff up ended before %s; it said: %s", what, strings.Join(seen, ", "))
			}
			if want(e) {
				return e
			}
			seen = append(seen, strings.TrimSpace(e.Type+" "+e.Action+" "+e.Message))
		case <-timeout:
			t.Fatalf("no %s within 30s; it said: %s", what, strings.Join(seen, ", "))
		}
	}
}

func applied(name string) func(upEvent) bool {
	return func(e upEvent) bool { return e.Object != nil && e.Object.Name == name && e.Action != "" }
}

func save(t *testing.T, path, content string) {
	t.Helper()
	// As editors do it: a new file takes the old one's place.
	if err := os.WriteFile(path+"~", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  value: %q\n", name, value)
}

func TestWhatIsSavedIsApplied(t *testing.T) {
	ensureStarted(t)
	namespace(t, "loop")
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.yaml"), filepath.Join(dir, "second.yaml")
	save(t, first, configMap("first", "one"))
	save(t, second, configMap("second", "one"))
	l := startLoop(t, "-n", "loop", dir)
	l.until(t, "second to be created", applied("second"))
	value := func(name string) string { return jsonpath(t, "{.data.value}", "configmap", name, "-n", "loop") }
	eventually(t, slow, func() string {
		if value("first") != "one" {
			return "first is not there"
		}
		return ""
	})

	save(t, first, configMap("first", "two"))
	l.until(t, "first to be configured", applied("first"))
	if got := value("first"); got != "two" {
		t.Errorf("after the save it is %q", got)
	}

	// A broken file is reported with its place, and changes nothing.
	save(t, first, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: first\n data: {}\n")
	broken := l.until(t, "the broken file to be reported", func(e upEvent) bool { return e.Type == "problem" && strings.Contains(e.File, "first.yaml") })
	if broken.Line != 5 || broken.Message == "" {
		t.Errorf("reported as %+v, want line 5", broken)
	}
	if got := value("first"); got != "two" {
		t.Errorf("the broken file changed the object to %q", got)
	}
	save(t, first, configMap("first", "three"))
	l.until(t, "the repaired file to be applied", applied("first"))
	if got := value("first"); got != "three" {
		t.Errorf("after the repair it is %q", got)
	}

	// A file that is renamed is the same object; one that is removed takes its object with it.
	if err := os.Rename(first, filepath.Join(dir, "renamed.yaml")); err != nil {
		t.Fatal(err)
	}
	uid := jsonpath(t, "{.metadata.uid}", "configmap", "first", "-n", "loop")
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	eventually(t, slow, func() string {
		if r := try(t, shared.kubectl, "get", "configmap", "second", "-n", "loop"); r.code == 0 {
			return "what left the directory is still in the cluster"
		}
		return ""
	})
	if got := jsonpath(t, "{.metadata.uid}", "configmap", "first", "-n", "loop"); got != uid {
		t.Error("the renamed file's object was replaced")
	}

	l.interrupt()
	if got := value("first"); got != "three" {
		t.Errorf("after Ctrl-C it is %q", got)
	}
}

func TestTheDaemonWatchesADirectory(t *testing.T) {
	ensureStarted(t)
	namespace(t, "detached")
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	save(t, path, configMap("watched", "one"))
	skiff(t, "up", "-d", dir, "-n", "detached")
	value := func(want string) {
		t.Helper()
		eventually(t, slow, func() string {
			if got := jsonpath(t, "{.data.value}", "configmap", "watched", "-n", "detached"); got != want {
				return fmt.Sprintf("it is %q, want %q", got, want)
			}
			return ""
		})
	}
	value("one")
	save(t, path, configMap("watched", "two"))
	value("two")
	if out := try(t, shared.bin, "status").out; !strings.Contains(out, dir) {
		t.Errorf("status does not show the set:\n%s", out)
	}
	// The watch survives the daemon.
	skiff(t, "stop", "--keep-pods")
	save(t, path, configMap("watched", "three"))
	skiff(t, "start", "--quiet")
	value("three")
	skiff(t, "up", "--stop", dir, "-n", "detached")
	if out := try(t, shared.bin, "status").out; strings.Contains(out, dir) {
		t.Errorf("status still shows the set:\n%s", out)
	}
	value("three")
}
