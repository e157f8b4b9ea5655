package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/build"
	"skiff.local/skiff/watch/event"
)

// setsFile holds the definitions of the sets, so that a daemon that comes back watches what it watched.
const setsFile = "sets.json"

// sets are the manifest directories that the daemon watches.
type sets struct {
	path   string
	config *rest.Config // in this process
	exec   *rest.Config // over the wire
	engine string       // where --build builds: on the engine that the pods run on
	log    *slog.Logger
	ctx    context.Context // ends all of them
	cancel context.CancelFunc

	mu      sync.Mutex
	running map[string]*runningSet // by name; guarded by mu
	done    sync.WaitGroup
}

type runningSet struct {
	set    *watch.Set
	cancel context.CancelFunc
	ended  chan struct{}
}

func newSets(ctx context.Context, p *profile.Profile, config, exec *rest.Config, engine string, log *slog.Logger) *sets {
	ctx, cancel := context.WithCancel(ctx)
	return &sets{
		path: filepath.Join(p.Dir, setsFile), config: config, exec: exec, engine: engine, log: log, ctx: ctx, cancel: cancel,
		running: map[string]*runningSet{},
	}
}

// resume starts the sets that were watched when the last daemon ended.
func (s *sets) resume() error {
	raw, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the watched sets: %w", err)
	}
	var definitions []watch.Definition
	if err := json.Unmarshal(raw, &definitions); err != nil {
		return fmt.Errorf("read the watched sets: %s: %w", s.path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range definitions {
		if _, err := s.startLocked(d); err != nil {
			s.log.Error("resume a watched set", "set", d.Name, "error", err)
		}
	}
	return nil
}

// add watches a set from now on, replacing one of the same name.
func (s *sets) add(d watch.Definition) (watch.Definition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.startLocked(d)
	if err != nil {
		return d, &client.Failure{Reason: client.ReasonInvalid, Message: err.Error()}
	}
	return d, s.saveLocked()
}

func (s *sets) startLocked(d watch.Definition) (watch.Definition, error) {
	log := s.log
	set, err := watch.NewSet(watch.Config{
		Definition: d, REST: rest.CopyConfig(s.config), Exec: rest.CopyConfig(s.exec), Logger: s.log, Builder: &build.Tidy{Docker: build.Docker{Host: s.engine}},
		Events: func(e event.Event) { log.Log(context.Background(), levelOf(e), textOf(e), "set", e.Set) },
	})
	if err != nil {
		return d, err
	}
	d = set.Definition()
	s.endLocked(d.Name)
	ctx, cancel := context.WithCancel(s.ctx)
	r := &runningSet{set: set, cancel: cancel, ended: make(chan struct{})}
	s.running[d.Name] = r
	s.done.Go(func() {
		defer close(r.ended)
		if err := set.Run(ctx); err != nil && ctx.Err() == nil {
			log.Error("a watched set ended", "set", d.Name, "error", err)
		}
	})
	return d, nil
}

// remove ends the watching of the set with the name, or of those that have the source; what they applied stays.
func (s *sets) remove(spec client.SetSpec) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []string
	for name, r := range s.running {
		if name == spec.Name || hasSource(r.set.Definition(), spec.Sources) {
			ended = append(ended, name)
		}
	}
	if len(ended) == 0 {
		return nil, &client.Failure{
			Reason:  client.ReasonInvalid,
			Message: fmt.Sprintf("no watched set is called %q or has the source %s", spec.Name, strings.Join(spec.Sources, ", ")),
			Hint:    "`skiff status` lists the watched sets",
		}
	}
	slices.Sort(ended)
	for _, name := range ended {
		s.endLocked(name)
	}
	return ended, s.saveLocked()
}

func hasSource(d watch.Definition, paths []string) bool {
	for _, source := range d.Sources {
		if slices.Contains(paths, source.Path) {
			return true
		}
	}
	return false
}

func (s *sets) endLocked(name string) {
	if r := s.running[name]; r != nil {
		r.cancel()
		<-r.ended
		delete(s.running, name)
	}
}

func (s *sets) saveLocked() error {
	definitions := []watch.Definition{}
	for _, name := range s.namesLocked() {
		definitions = append(definitions, s.running[name].set.Definition())
	}
	raw, err := json.MarshalIndent(definitions, "", "  ")
	if err != nil {
		return fmt.Errorf("store the watched sets: %w", err)
	}
	return profile.WriteFile(s.path, append(raw, '\n'))
}

func (s *sets) namesLocked() []string {
	names := make([]string, 0, len(s.running))
	for name := range s.running {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// imageMoved tells every set that a tag means another image now.
func (s *sets) imageMoved(reference, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		r.set.ImageMoved(reference, id)
	}
}

// status lists the sets by name.
func (s *sets) status() []client.SetStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []client.SetStatus
	for _, name := range s.namesLocked() {
		st := s.running[name].set.Status()
		spec := client.SetSpec{Name: name, Namespace: st.Definition.Namespace, Prune: string(st.Definition.Prune)}
		for _, source := range st.Definition.Sources {
			spec.Sources = append(spec.Sources, source.Path)
		}
		list = append(list, client.SetStatus{SetSpec: spec, Objects: st.Summary.Objects, Synced: st.Synced, Errors: st.Wrong})
	}
	return list
}

// end stops watching, without forgetting what was watched, and returns when all sets have ended.
func (s *sets) end() {
	s.cancel()
	s.done.Wait()
}

// levelOf is how loud an event is in the daemon's log: what went wrong stands out, and a builder's hundreds of lines and
// a rollout's steps are only there for who asks for them.
func levelOf(e event.Event) slog.Level {
	switch {
	case e.Action == event.Failed:
		return slog.LevelWarn
	case e.Action == event.Unchanged:
		return slog.LevelDebug
	}
	switch e.Type {
	case event.Problem, event.Crash, event.BuildFailed, event.SyncFailed:
		return slog.LevelWarn
	case event.Progress, event.BuildOutput:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// textOf ends a failed build with the builder's last lines, which are in the log at no other place.
func textOf(e event.Event) string {
	if e.Type == event.BuildFailed && len(e.Lines) > 0 {
		return e.String() + ": " + strings.Join(e.Lines, "\n")
	}
	return e.String()
}
