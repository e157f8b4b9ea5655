// Package watch keeps a cluster in step with manifests on disk: it loads them, sends what changed, prunes what
// disappeared, waits for the next save, and says in events what happened and what became of it.
//
// It reaches the cluster through the Kubernetes API alone, so the same set runs against skiff and against any other
// cluster, in the foreground of a command or inside the daemon.
//
// A Set is one loop: look at the files (source, manifest), make a plan (plan), carry it out (cluster), and wait for
// something to happen: a burst of changes (fswatch), the time to try a failure again, a moved image. What becomes of the
// objects is followed beside the loop (outcome).
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"skiff.local/skiff/watch/build"
	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/livesync"
	"skiff.local/skiff/watch/outcome"
	"skiff.local/skiff/watch/plan"
	"skiff.local/skiff/watch/source"
)

// PruneMode says which objects go when they leave the sources.
type PruneMode string

const (
	// PruneSafe removes all but what holds data or other objects. The default.
	PruneSafe PruneMode = "safe"
	// PruneAll removes everything.
	PruneAll PruneMode = "all"
	// PruneNone removes nothing.
	PruneNone PruneMode = "none"
)

// Definition describes a set so that another process, or the same one after a restart, can go on with it.
type Definition struct {
	// Name tells the set from others in its namespace. Empty: derived from the sources.
	Name string `json:"name,omitempty"`
	// Sources are what is watched.
	Sources []source.Source `json:"sources"`
	// Namespace is where objects without a namespace go. Empty: default.
	Namespace string    `json:"namespace,omitempty"`
	Prune     PruneMode `json:"prune,omitempty"`
	// TakeOver takes objects away from other sets.
	TakeOver bool `json:"takeOver,omitempty"`
	// RollOnConfig replaces pods when a ConfigMap or Secret of the set that they use changes.
	RollOnConfig bool `json:"rollOnConfig,omitempty"`
	// Images replaces images by others, by the name that the manifests use.
	Images map[string]string `json:"images,omitempty"`
	// Build builds the images whose sources lie beside the manifests or are named by annotations, and builds them again
	// when the sources change.
	Build bool `json:"build,omitempty"`
	// Poll looks at intervals instead of trusting change notifications.
	Poll bool `json:"poll,omitempty"`
}

// Complete checks a definition and fills in what was left out.
func (d Definition) Complete() (Definition, error) {
	if len(d.Sources) == 0 {
		return d, errors.New("a set needs at least one file or directory")
	}
	for _, s := range d.Sources {
		if !filepath.IsAbs(s.Path) {
			return d, fmt.Errorf("the source %q has no absolute path", s.Path)
		}
	}
	if d.Namespace == "" {
		d.Namespace = "default"
	}
	switch d.Prune {
	case "":
		d.Prune = PruneSafe
	case PruneSafe, PruneAll, PruneNone:
	default:
		return d, fmt.Errorf("prune mode %q: must be safe, all or none", d.Prune)
	}
	if d.Name == "" {
		d.Name = cluster.NameFor(d.Sources[0].ID(), strings.Join(d.paths(), "\n"))
	}
	return d, nil
}

// paths are the sources in an order that does not depend on how they were typed.
func (d Definition) paths() []string {
	paths := make([]string, len(d.Sources))
	for i, s := range d.Sources {
		paths[i] = s.Path
	}
	slices.Sort(paths)
	return paths
}

// called names a unit as the user named its source.
func (d Definition) called(unit string) string {
	for _, src := range d.Sources {
		if below, ok := strings.CutPrefix(unit, src.ID()); ok && (below == "" || below[0] == '/') {
			return filepath.Join(src.Name, filepath.FromSlash(below))
		}
	}
	return unit
}

// Config is what a set needs.
type Config struct {
	Definition Definition
	// REST reaches the cluster.
	REST *rest.Config
	// Exec reaches containers, whose connections upgrade; nil is REST. A client inside the API server's process needs it:
	// its transport upgrades nothing.
	Exec *rest.Config
	// Events receives what happens, from several goroutines; it must not block for long.
	Events func(event.Event)
	// Once applies what is there and returns instead of waiting for changes.
	Once bool
	// DryRun asks the server about everything and keeps nothing. It implies Once.
	DryRun bool
	// Confirm, when set, is shown the differences before the first apply, and must return true for it to happen.
	Confirm func([]Difference) bool
	// Builder builds images; nil is the docker command line.
	Builder Builder
	Logger  *slog.Logger
	// Quiet is how long a burst of changes must have been over; 0 is the default of 30 ms.
	Quiet time.Duration
	// PollEvery is the interval of looking where there are no change notifications; 0 is the default of 500 ms.
	PollEvery time.Duration
	// Settle is how long an object must be gone from the sources before it is pruned; 0 is the default of 250 ms. An
	// editor that deletes and writes anew, or empties a file first, is given this long to finish.
	Settle time.Duration
}

// NewSet checks the configuration and prepares a set. Nothing happens before Run.
func NewSet(config Config) (*Set, error) {
	definition, err := config.Definition.Complete()
	if err != nil {
		return nil, err
	}
	if config.REST == nil {
		return nil, errors.New("a set needs a way to reach the cluster")
	}
	host, _ := os.Hostname()
	target, err := cluster.Connect(config.REST, cluster.Set{
		Name: definition.Name, Namespace: definition.Namespace, Sources: definition.paths(), Host: host,
	})
	if err != nil {
		return nil, err
	}
	exec := livesync.API{Config: config.REST, Client: target.Client()}
	if config.Exec != nil {
		exec.Config = config.Exec
		if exec.Client, err = kubernetes.NewForConfig(config.Exec); err != nil {
			return nil, fmt.Errorf("prepare to reach containers: %w", err)
		}
	}
	config.Definition = definition
	s := newSet(config, target)
	follower := outcome.New(outcome.Config{
		Client: target.Client(), Dynamic: target.Dynamic(), Metadata: target.Metadata(), Resource: target.ResourceOf,
		Selector: target.MemberSelector(), Namespace: definition.Namespace, Emit: s.emit,
		Gone: func(ref plan.Ref, uid string) {
			s.post(func(in *inbox) { in.gone = append(in.gone, plan.Member{Ref: ref, UID: uid}) })
		},
		PodChanged: func() { s.syncer.Wake() },
	})
	s.follow = follower
	s.syncer = livesync.New(livesync.Config{
		Executor: exec, Pods: follower.Pods, Emit: s.emit,
	})
	return s, nil
}

// newSet is NewSet for tests that bring a cluster of their own.
func newSet(config Config, target target) *Set {
	if config.Events == nil {
		config.Events = func(event.Event) {}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Settle == 0 {
		config.Settle = 250 * time.Millisecond
	}
	if config.Builder == nil {
		config.Builder = &build.Tidy{}
	}
	return &Set{
		builds: newBuilds(), places: newPlaces(),
		config: config, definition: config.Definition, target: target,
		loader: source.NewLoader(config.Definition.Sources, source.Options{Namespace: config.Definition.Namespace, Version: target.Version}),
		log:    config.Logger.With("set", config.Definition.Name),
		wake:   make(chan struct{}, 1),
		state:  newState(),
		follow: noFollower{},
	}
}

// Definition is the set's definition with everything filled in.
func (s *Set) Definition() Definition { return s.definition }

// Run works until the context ends, which is not an error. What was applied stays.
func (s *Set) Run(ctx context.Context) error { return s.run(ctx) }
