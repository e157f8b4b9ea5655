// Package source finds the manifests behind what the user named: single files, directories, kustomizations and charts.
//
// A Loader is asked again after every change. It calls back before it lists a directory, so that a watch can be in
// place first and no change falls between looking and watching, and it parses only what changed since the last time.
package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"skiff.local/skiff/watch/manifest"
)

// Source is one thing that the user named. It can be stored and used by another process.
type Source struct {
	// Path is absolute.
	Path string `json:"path"`
	// Name is how the user wrote it; messages use it.
	Name string `json:"name"`
	// Flat leaves out subdirectories, as `kubectl apply -f DIR` does without -R.
	Flat bool `json:"flat,omitempty"`
	// Values are a chart's additional value files, absolute, the last one wins.
	Values []string `json:"values,omitempty"`
}

// New makes a source of what the user typed, relative to the working directory.
func New(typed string) (Source, error) {
	abs, err := filepath.Abs(typed)
	if err != nil {
		return Source{}, fmt.Errorf("resolve %s: %w", typed, err)
	}
	return Source{Path: abs, Name: typed}, nil
}

// ID names the source independently of the working directory and of the machine's other paths.
func (s Source) ID() string { return filepath.Base(s.Path) }

// called names another file as seen from where the source's name was typed.
func (s Source) called(path string) string {
	rel, err := filepath.Rel(s.Path, path)
	if err != nil || filepath.IsAbs(s.Name) {
		return path
	}
	return filepath.Join(s.Name, rel)
}

// Kind is what a unit is.
type Kind string

// The kinds of units.
const (
	File          Kind = "file"
	Kustomization Kind = "kustomization"
	Chart         Kind = "chart"
	Directory     Kind = "directory" // only when it can't be read
)

// Unit is what stands or falls together: one file, one kustomization, one chart. When it has problems, its objects
// must not be applied, and the objects that came from it earlier must be left alone.
type Unit struct {
	Kind Kind
	// ID is stable across working directories and restarts: the source's base name and the path below it.
	ID string
	// Name is for messages.
	Name     string
	Objects  []manifest.Object
	Problems []manifest.Problem
	// Skipped says why a file that looked like a manifest is none, "" otherwise.
	Skipped string
	// Dir is the directory that the file lies in, or that was rendered; absolute.
	Dir string
}

// Snapshot is everything that the sources hold at one moment, in the order in which it was written.
type Snapshot struct {
	Units []Unit
	// Missing are the sources that don't exist just now.
	Missing []Source
	// Files is the number of files looked at.
	Files int
}

// Options are what charts see of the place that they are rendered for.
type Options struct {
	Namespace string
	// Version asks the cluster for its Kubernetes version. It is called only when a chart is rendered.
	Version func() string
}

// Loader reads sources and remembers what it read. Load is not safe for concurrent use; Relevant is.
type Loader struct {
	sources []Source
	options Options
	cache   map[string]*cached
	builds  map[string]*built
	cares   atomic.Pointer[cares]
}

// cares are the paths, by their real names, that matter although the usual rules don't tell.
type cares struct {
	// paths are a kustomization's parts, and the way to a source.
	paths map[string]bool
	// whole are directories in which any file may matter, because a kustomization or chart is made of them.
	whole map[string]bool
}

// NewLoader returns a loader for these sources.
func NewLoader(sources []Source, options Options) *Loader {
	l := &Loader{sources: slices.Clone(sources), options: options, cache: map[string]*cached{}, builds: map[string]*built{}}
	l.cares.Store(&cares{})
	return l
}

// Load looks at every source. Visit is called with each directory before it is listed or a file in it is read.
func (l *Loader) Load(visit func(dir string)) Snapshot {
	if visit == nil {
		visit = func(string) {}
	}
	w := &walk{loader: l, visit: visit, seen: map[string]bool{}, used: map[string]bool{}, builds: map[string]*built{}, interesting: map[string]bool{}, whole: map[string]bool{}}
	for _, source := range l.sources {
		w.source(source)
	}
	w.read()
	w.dropBases()
	for path := range l.cache {
		if !w.used[path] {
			delete(l.cache, path)
		}
	}
	l.builds = w.builds
	l.cares.Store(&cares{paths: w.interesting, whole: w.whole})
	return w.snapshot
}

// Relevant reports whether a change at this path, named without symbolic links in its directory, can change what Load returns. It errs on the side of true.
func (l *Loader) Relevant(path string) bool {
	base := filepath.Base(path)
	if editorsOwn(base) {
		return false
	}
	care := l.cares.Load()
	if care.paths[path] || care.whole[filepath.Dir(path)] || hasManifestName(base) || isIgnoreFile(base) {
		return true
	}
	// A directory or a link may bring or take manifests; what is gone may have been one.
	info, err := os.Lstat(path)
	return err != nil || info.IsDir() || info.Mode()&os.ModeSymlink != 0
}

func hasManifestName(base string) bool {
	switch strings.ToLower(filepath.Ext(base)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func isIgnoreFile(base string) bool { return base == ".gitignore" || base == ".skiffignore" }

// editorsOwn recognises the files that editors put beside the one that is edited: vim's swap, backup and probe files,
// emacs' locks and auto-saves, JetBrains' and others' safe-write files.
func editorsOwn(base string) bool {
	switch {
	case strings.HasSuffix(base, "~"),
		strings.HasPrefix(base, ".#"),
		strings.HasPrefix(base, "#") && strings.HasSuffix(base, "#"),
		base == "4913",
		strings.HasSuffix(base, "___jb_tmp___"), strings.HasSuffix(base, "___jb_old___"):
		return true
	}
	switch ext := strings.ToLower(filepath.Ext(base)); ext {
	case ".swp", ".swo", ".swx", ".swpx", ".tmp", ".bak", ".orig", ".rej", ".part", ".crswap":
		return true
	}
	return false
}
