package livesync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// Executor acts on containers.
type Executor interface {
	// Exec runs a command. The error of a command that ends with a failure says what it wrote.
	Exec(ctx context.Context, namespace, pod, container string, command []string, stdin io.Reader) error
	// Restart ends the container's process and starts it again, in the same container with the same files. A container
	// that was made anew would get everything copied again, and be restarted for that, without end.
	Restart(ctx context.Context, namespace, pod, container string) error
}

// Config is what a Syncer needs.
type Config struct {
	Executor Executor
	// Pods are the pods of a workload.
	Pods func(plan.Ref) []*corev1.Pod
	Emit func(event.Event)
}

// Syncer keeps containers in step with local files. SetRules, Scan and Built are the watching loop's, Wake is
// anybody's.
type Syncer struct {
	config Config
	wake   chan struct{}

	mu    sync.Mutex
	trees map[Rule]*tree // guarded by mu
}

// tree is the local side of a rule, and what each container has of it.
type tree struct {
	files   map[string]stamp            // what is there now, by path relative to the rule's local one
	changed map[string]bool             // what changed or went since the rule began, or its image was built
	sent    map[string]map[string]stamp // by container ID
	failed  map[string]bool             // container IDs in which it can't work
}

type stamp struct {
	size int64
	mod  time.Time
	mode fs.FileMode
}

// execTimeout bounds one copy and the command after it.
const execTimeout = time.Minute

// New returns a syncer without rules.
func New(config Config) *Syncer {
	return &Syncer{config: config, wake: make(chan struct{}, 1), trees: map[Rule]*tree{}}
}

// SetRules replaces the rules. Those that stay keep what they know.
func (s *Syncer) SetRules(rules []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := map[Rule]bool{}
	for _, rule := range rules {
		keep[rule] = true
		if s.trees[rule] == nil {
			s.trees[rule] = &tree{changed: map[string]bool{}, sent: map[string]map[string]stamp{}, failed: map[string]bool{}}
		}
	}
	for rule := range s.trees {
		if !keep[rule] {
			delete(s.trees, rule)
		}
	}
}

// Scan looks at the local files again. Visit is called with each directory before it is listed.
func (s *Syncer) Scan(visit func(dir string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rule, t := range s.trees {
		now := scan(rule.Local, visit)
		if t.files != nil {
			for name, st := range now {
				if t.files[name] != st {
					t.changed[name] = true
				}
			}
			for name := range t.files {
				if _, still := now[name]; !still {
					t.changed[name] = true
				}
			}
		}
		t.files = now
	}
	s.nudge()
}

// Built says that an image was built from a directory: what lies in it is part of new containers.
func (s *Syncer) Built(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rule, t := range s.trees {
		if rule.Local == dir || strings.HasPrefix(rule.Local, dir+string(filepath.Separator)) {
			clear(t.changed)
		}
	}
}

// Wake has the containers looked at again.
func (s *Syncer) Wake() { s.nudge() }

func (s *Syncer) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func scan(root string, visit func(string)) map[string]stamp {
	files := map[string]stamp{}
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		visit(filepath.Dir(root))
		files["."] = stamp{info.Size(), info.ModTime(), info.Mode()}
		return files
	}
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what can't be read isn't copied, the rest is
		}
		name := entry.Name()
		if path != root && (name == ".git" || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".swp") || strings.HasPrefix(name, ".#")) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			visit(path)
			return nil
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a link that leads nowhere, a socket
		}
		rel, err := filepath.Rel(root, path)
		if err == nil {
			files[filepath.ToSlash(rel)] = stamp{info.Size(), info.ModTime(), info.Mode()}
		}
		return nil
	})
	return files
}

// Run copies until the context ends.
func (s *Syncer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for _, j := range s.jobs() {
			s.carryOut(ctx, j)
		}
	}
}

// job is what one container lacks.
type job struct {
	rule      Rule
	pod       *corev1.Pod
	container string // its ID
	copy      map[string]stamp
	remove    []string
	restart   bool // the last job of a container that wants a restart
}

// jobs compares what containers have with what is here.
func (s *Syncer) jobs() []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []job
	for rule, t := range s.trees {
		alive := map[string]bool{}
		for _, pod := range s.config.Pods(rule.Ref) {
			id, started := running(pod, rule.Container)
			if id == "" {
				continue
			}
			alive[id] = true
			if t.failed[id] {
				continue
			}
			j := t.missing(id, started)
			if len(j.copy)+len(j.remove) > 0 {
				j.rule, j.pod, j.container = rule, pod, id
				jobs = append(jobs, j)
			}
		}
		for id := range t.sent {
			if !alive[id] {
				delete(t.sent, id)
			}
		}
	}
	sort.Slice(jobs, func(a, b int) bool { return jobs[a].pod.Name+jobs[a].rule.Local < jobs[b].pod.Name+jobs[b].rule.Local })
	restarted := map[string]bool{}
	for i := range slices.Backward(jobs) {
		if j := &jobs[i]; j.rule.Restart && !restarted[j.container] {
			j.restart, restarted[j.container] = true, true
		}
	}
	return jobs
}

func running(pod *corev1.Pod, container string) (id string, started time.Time) {
	if pod.DeletionTimestamp != nil {
		return "", time.Time{}
	}
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == container && status.State.Running != nil {
			return status.ContainerID, status.State.Running.StartedAt.Time
		}
	}
	return "", time.Time{}
}

// missing is what a container lacks: of what changed since the rule began, or is younger than the container.
func (t *tree) missing(id string, started time.Time) job {
	sent := t.sent[id]
	j := job{copy: map[string]stamp{}}
	for name, st := range t.files {
		if before, has := sent[name]; has && before == st {
			continue
		}
		if t.changed[name] || st.mod.After(started) {
			j.copy[name] = st
		}
	}
	for name := range t.changed {
		if _, here := t.files[name]; here {
			continue
		}
		if before, has := sent[name]; !has || before != (stamp{}) {
			j.remove = append(j.remove, name)
		}
	}
	sort.Strings(j.remove)
	return j
}

// carryOut copies and removes, and then runs the rule's command.
func (s *Syncer) carryOut(ctx context.Context, j job) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	begun := time.Now()
	ref := j.rule.Ref
	e := event.Event{Type: event.Synced, Object: &ref, Pod: j.pod.Name, Container: j.rule.Container}
	run := func(command []string, stdin io.Reader) error {
		return s.config.Executor.Exec(ctx, j.pod.Namespace, j.pod.Name, j.rule.Container, command, stdin)
	}
	err := s.transfer(j, run)
	if err == nil && j.restart {
		if err = s.config.Executor.Restart(ctx, j.pod.Namespace, j.pod.Name, j.rule.Container); err != nil {
			err = fmt.Errorf("restart the container: %w", err)
		}
	}
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	s.mu.Lock()
	if t := s.trees[j.rule]; t != nil {
		if err != nil {
			t.failed[j.container] = true // the next container may be another image
		} else {
			if t.sent[j.container] == nil {
				t.sent[j.container] = map[string]stamp{}
			}
			for name, st := range j.copy {
				t.sent[j.container][name] = st
			}
			for _, name := range j.remove {
				t.sent[j.container][name] = stamp{}
			}
		}
	}
	s.mu.Unlock()
	e.Message, e.Took = describe(j), time.Since(begun)
	if err != nil {
		e.Type, e.Message, e.Hint = event.SyncFailed, err.Error(), "the image needs tar and sh for live copies; without them, use --build"
		if errors.Is(err, ErrNoRestart) {
			e.Hint = "use " + AnnotationExec + " there, with a command that has the program read its files again"
		}
	}
	s.config.Emit(e)
}

func (s *Syncer) transfer(j job, run func([]string, io.Reader) error) error {
	if len(j.copy) > 0 {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(writeTar(writer, j)) }()
		err := run([]string{"tar", "-xmf", "-", "-C", "/"}, reader)
		_ = reader.Close()
		if err != nil {
			return fmt.Errorf("copy files: %w", err)
		}
	}
	if len(j.remove) > 0 {
		command := []string{"rm", "-f", "--"}
		for _, name := range j.remove {
			command = append(command, remotePath(j.rule, name))
		}
		if err := run(command, nil); err != nil {
			return fmt.Errorf("remove files: %w", err)
		}
	}
	if j.rule.Exec == "" {
		return nil
	}
	if err := run([]string{"sh", "-c", j.rule.Exec}, nil); err != nil {
		return fmt.Errorf("run %q: %w", j.rule.Exec, err)
	}
	return nil
}

func describe(j job) string {
	var parts []string
	count := func(n int, what string) {
		switch {
		case n == 1:
			parts = append(parts, "1 file "+what)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d files %s", n, what))
		}
	}
	count(len(j.copy), "copied to "+j.rule.Remote)
	count(len(j.remove), "removed from "+j.rule.Remote)
	if j.rule.Exec != "" {
		parts = append(parts, "ran "+j.rule.Exec)
	}
	if j.restart {
		parts = append(parts, "restarted")
	}
	return strings.Join(parts, ", ")
}
