package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"skiff.local/skiff/watch/ignore"
	"skiff.local/skiff/watch/manifest"
)

// walk is one pass over all sources.
type walk struct {
	loader      *Loader
	visit       func(dir string)
	seen        map[string]bool // real paths of directories and files, so that a link can't lead in circles
	used        map[string]bool // cache entries that are still of use
	builds      map[string]*built
	interesting map[string]bool
	whole       map[string]bool
	jobs        []job
	snapshot    Snapshot
}

// place is where the walk stands: on disk, in messages, and in identities.
type place struct {
	path, name, id string
	rel            string // below the source, "" at its top
}

func (p place) join(base string) place {
	return place{path: filepath.Join(p.path, base), name: filepath.Join(p.name, base), id: path.Join(p.id, base), rel: path.Join(p.rel, base)}
}

func (w *walk) source(source Source) {
	top := place{path: source.Path, name: source.Name, id: source.ID()}
	w.approach(source.Path)
	info, err := os.Stat(source.Path)
	if errors.Is(err, fs.ErrNotExist) {
		w.snapshot.Missing = append(w.snapshot.Missing, source)
		w.awaitReturn(source.Path)
		return
	}
	if err != nil {
		w.fail(Directory, top, fmt.Errorf("read %s: %w", source.Name, err))
		return
	}
	if !info.IsDir() {
		w.visit(filepath.Dir(source.Path))
		w.file(top, info, true)
		return
	}
	w.directory(source, top, outerRules(source.Path))
}

// approach makes every element on the way to a source matter, and watches those that are symbolic links.
func (w *walk) approach(path string) {
	for at := path; at != filepath.Dir(at); at = filepath.Dir(at) {
		w.matters(at)
		w.followLink(at)
	}
}

// matters marks a path by the name that the watch will use for it.
func (w *walk) matters(path string) {
	w.interesting[filepath.Join(realDir(path), filepath.Base(path))] = true
}

// realDir is the directory of a path without symbolic links, as far as it exists.
func realDir(path string) string {
	dir := filepath.Dir(path)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

// awaitReturn puts the watch on the nearest directory that exists, so that the source is noticed when it comes back.
func (w *walk) awaitReturn(path string) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			w.visit(dir)
			return
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
}

// followLink watches a symbolic link's own directory and its target's, since either may change what it shows.
func (w *walk) followLink(path string) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return
	}
	w.visit(filepath.Dir(path))
	w.matters(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		w.visit(filepath.Dir(real))
		w.interesting[real] = true
	}
}

func (w *walk) directory(source Source, at place, rules ignore.Stack) {
	real, err := filepath.EvalSymlinks(at.path)
	if err != nil || w.seen[real] {
		return
	}
	w.seen[real] = true
	w.visit(at.path)
	entries, err := os.ReadDir(at.path)
	if err != nil {
		w.fail(Directory, at, fmt.Errorf("read directory: %w", err))
		return
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	switch {
	case slices.ContainsFunc(names, isKustomizationFile):
		w.kustomization(at)
		return
	case slices.Contains(names, chartFile):
		w.chart(source, at)
		return
	}
	rules = rules.Push(at.rel, directoryRules(at.path))
	var below []place
	for _, entry := range entries {
		next := at.join(entry.Name())
		if hidden(entry.Name()) || editorsOwn(entry.Name()) {
			continue
		}
		info, err := os.Stat(next.path)
		if rules.Ignored(next.rel, err == nil && info.IsDir()) {
			continue
		}
		if entry.Type()&os.ModeSymlink != 0 {
			w.followLink(next.path)
		}
		switch {
		case err == nil && info.IsDir():
			if !source.Flat {
				below = append(below, next)
			}
		case !hasManifestName(entry.Name()):
		case errors.Is(err, fs.ErrNotExist) && entry.Type()&os.ModeSymlink == 0:
			// Gone since it was listed: the event about that is under way.
		case err != nil:
			w.fail(File, next, fmt.Errorf("read file: %w", err))
		default:
			w.file(next, info, false)
		}
	}
	// Files before subdirectories, as `kubectl apply -R` orders nothing but people expect.
	for _, next := range below {
		w.directory(source, next, rules)
	}
}

// file notes one manifest to be read. Named says that the user pointed at this very file, which makes foreign content
// an error.
func (w *walk) file(at place, info fs.FileInfo, named bool) {
	w.snapshot.Files++
	w.used[at.path] = true
	w.jobs = append(w.jobs, job{at: at, info: info, named: named, unit: len(w.snapshot.Units)})
	w.snapshot.Units = append(w.snapshot.Units, Unit{Kind: File, ID: at.id, Name: at.name, Dir: filepath.Dir(at.path)})
}

// job is a file to be read into the unit of that index.
type job struct {
	at    place
	info  fs.FileInfo
	named bool
	unit  int

	entry *cached
	err   error
}

// read reads the noted files, several at a time: parsing is what a cold start spends its time on.
func (w *walk) read() {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range w.jobs {
		j := &w.jobs[i]
		known := w.loader.cache[j.at.path]
		if known != nil && known.name == j.at.name && known.unchanged(j.info) {
			j.entry = known
			continue
		}
		group.Go(func() error {
			j.entry, j.err = readFile(j.at, j.info, known)
			return nil
		})
	}
	_ = group.Wait() // the jobs keep their errors themselves
	for _, j := range w.jobs {
		switch {
		case j.err == nil:
			w.loader.cache[j.at.path] = j.entry
			w.snapshot.Units[j.unit] = fileUnit(j)
		case errors.Is(j.err, fs.ErrNotExist):
			// Gone since it was listed: the event about that is under way.
		default:
			w.snapshot.Units[j.unit].Problems = []manifest.Problem{pathProblem(j.at, j.err)}
		}
	}
}

func fileUnit(j job) Unit {
	result := j.entry.result
	unit := Unit{Kind: File, ID: j.at.id, Name: j.at.name, Dir: filepath.Dir(j.at.path), Objects: result.Objects, Problems: result.Problems}
	if result.Foreign == 0 || len(result.Problems) > 0 {
		return unit
	}
	if len(result.Objects) == 0 && !j.named {
		unit.Skipped = "not a Kubernetes manifest"
		return unit
	}
	unit.Problems = []manifest.Problem{{
		File: j.at.name, Line: result.Foreign, Column: 1,
		Reason: "this document has no apiVersion and kind that a cluster knows",
		Hint:   "move it to a file of its own, or list the file in .skiffignore",
	}}
	return unit
}

func (w *walk) fail(kind Kind, at place, err error) {
	w.snapshot.Units = append(w.snapshot.Units, Unit{Kind: kind, ID: at.id, Name: at.name, Problems: []manifest.Problem{pathProblem(at, err)}})
}

func pathProblem(at place, err error) manifest.Problem {
	problem := manifest.Problem{File: at.name, Reason: err.Error()}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		problem.Reason = fmt.Sprintf("can't %s it: %v", pathErr.Op, pathErr.Err)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		problem.Hint = "check its permissions"
	case errors.Is(err, fs.ErrNotExist):
		problem.Hint = "is it a link to something that is gone?"
	}
	return problem
}

func hidden(base string) bool { return strings.HasPrefix(base, ".") }

// directoryRules are the ignore files of one directory. .skiffignore has the last word.
func directoryRules(dir string) ignore.Rules {
	return readRules(filepath.Join(dir, ".gitignore")).Append(readRules(filepath.Join(dir, ".skiffignore")))
}

func readRules(file string) ignore.Rules {
	data, err := os.ReadFile(file)
	if err != nil {
		return ignore.Rules{}
	}
	return ignore.Parse(data)
}

// outerRules collects the .gitignore files between a source and the root of its repository. They count for what is
// below the source only: a directory that the user names is never ignored itself.
func outerRules(top string) ignore.Stack {
	var stack ignore.Stack
	var dirs []string
	for dir := top; ; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return stack
		}
	}
	for i := len(dirs) - 1; i > 0; i-- {
		rel, err := filepath.Rel(dirs[i], top)
		if err != nil {
			continue
		}
		rules := readRules(filepath.Join(dirs[i], ".gitignore"))
		parts := strings.Split(filepath.ToSlash(rel), "/")
		for n := range parts {
			if ignored, _ := rules.Match(path.Join(parts[:n+1]...), true); ignored {
				return ignore.Stack{}
			}
		}
		stack = stack.PushOuter(filepath.ToSlash(rel), rules)
	}
	return stack
}
