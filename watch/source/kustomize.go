package source

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	yaml4 "go.yaml.in/yaml/v4"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"skiff.local/skiff/watch/manifest"
)

func isKustomizationFile(base string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), base)
}

// built is the outcome of rendering a kustomization or a chart, and everything it was made of.
type built struct {
	objects  []manifest.Object
	problems []manifest.Problem
	inputs   map[string]input
	dirs     map[string]bool // directories that were taken as a whole
}

// input is how a file or directory looked when it was used. Info is nil for what did not exist.
type input struct {
	info   fs.FileInfo
	readAt time.Time
}

func (i input) unchanged(path string) bool {
	info, err := os.Stat(path)
	if err != nil || i.info == nil {
		return err != nil && i.info == nil
	}
	return (&cached{info: i.info, readAt: i.readAt}).unchanged(info)
}

func (b *built) unchanged() bool {
	for path, in := range b.inputs {
		if !in.unchanged(path) {
			return false
		}
	}
	return true
}

// kustomization renders the kustomization in a directory, unless nothing it was made of changed.
func (w *walk) kustomization(at place) {
	out, known := w.loader.builds[at.path]
	if !known || !out.unchanged() {
		out = buildKustomization(at, w.visit)
		w.loader.builds[at.path] = out
	}
	w.addBuilt(Kustomization, at, out)
}

func (w *walk) addBuilt(kind Kind, at place, out *built) {
	w.builds[at.path] = out
	for path := range out.inputs {
		w.matters(path)
		w.whole[realDir(path)] = true
		// A later pass reuses the result without asking the file system again, so the watch is kept here.
		w.visit(filepath.Dir(path))
	}
	w.snapshot.Files += len(out.inputs)
	w.snapshot.Units = append(w.snapshot.Units, Unit{Kind: kind, ID: at.id, Name: at.name, Objects: out.objects, Problems: out.problems, Dir: at.path})
}

// dropBases removes the kustomizations that another one is built on: a directory with bases and overlays means its
// overlays.
func (w *walk) dropBases() {
	w.snapshot.Units = slices.DeleteFunc(w.snapshot.Units, func(unit Unit) bool {
		if unit.Kind != Kustomization {
			return false
		}
		real, err := filepath.EvalSymlinks(unit.Dir)
		if err != nil {
			return false
		}
		for dir, other := range w.builds {
			if dir != unit.Dir && other.dirs[real] {
				return true
			}
		}
		return false
	})
}

func buildKustomization(at place, visit func(string)) *built {
	out := &built{inputs: map[string]input{}, dirs: map[string]bool{}}
	disk := &recordingFS{FileSystem: filesys.MakeFsOnDisk(), out: out, visit: visit}
	file := at.name
	for _, base := range konfig.RecognizedKustomizationFileNames() {
		if disk.Exists(filepath.Join(at.path, base)) {
			file = filepath.Join(at.name, base)
		}
	}
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, at.path)
	if err != nil {
		out.problems = kustomizeProblems(file, at, out, err)
		return out
	}
	for _, resource := range rendered.Resources() {
		content, err := toObject(resource.MarshalJSON)
		if err != nil {
			out.problems = append(out.problems, manifest.Problem{File: file, Reason: err.Error()})
			continue
		}
		obj, problems := manifest.Generated(file, content)
		out.problems = append(out.problems, problems...)
		out.objects = append(out.objects, obj...)
	}
	return out
}

func toObject(marshal func() ([]byte, error)) (map[string]any, error) {
	data, err := marshal()
	if err != nil {
		return nil, fmt.Errorf("encode object: %w", err)
	}
	var content map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &content); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	return content, nil
}

// kustomizeProblems looks for the cause itself, because kustomize reports a chain of everything it tried: a part that
// is not there, a part that can't be parsed. Only what is left gets kustomize's own words.
func kustomizeProblems(file string, at place, out *built, err error) []manifest.Problem {
	var problems []manifest.Problem
	for _, path := range slices.Sorted(maps.Keys(out.inputs)) {
		rel, relErr := filepath.Rel(at.path, path)
		if relErr != nil {
			continue
		}
		name := filepath.Join(at.name, rel)
		in := out.inputs[path]
		switch {
		case in.info == nil && !isKustomizationFile(filepath.Base(path)) && strings.Contains(err.Error(), filepath.ToSlash(rel)):
			line, column := findScalar(filepath.Join(at.path, filepath.Base(file)), filepath.ToSlash(rel))
			problems = append(problems, manifest.Problem{File: file, Line: line, Column: column, Reason: fmt.Sprintf("%s is not there", filepath.ToSlash(rel))})
		case in.info != nil && in.info.Mode().IsRegular() && hasManifestName(filepath.Base(path)):
			if data, readErr := os.ReadFile(path); readErr == nil {
				problems = append(problems, syntaxProblems(name, data)...)
			}
		}
	}
	if len(problems) > 0 {
		return problems
	}
	reason, _, _ := strings.Cut(err.Error(), "\n")
	reason = strings.ReplaceAll(reason, at.path+string(filepath.Separator), "")
	reason = strings.ReplaceAll(reason, at.path, at.name)
	return []manifest.Problem{{File: file, Line: 1, Reason: reason}}
}

// syntaxProblems are the problems of a file that may be a partial object, such as a patch.
func syntaxProblems(name string, data []byte) []manifest.Problem {
	return slices.DeleteFunc(manifest.Parse(name, data).Problems, func(p manifest.Problem) bool { return !p.Syntax })
}

// findScalar finds where a kustomization names something.
func findScalar(file, value string) (line, column int) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 1, 0
	}
	var root yaml4.Node
	if err := yaml4.Load(data, &root, yaml4.WithSingleDocument(), yaml4.WithUniqueKeys(false)); err != nil {
		return 1, 0
	}
	nodes := []*yaml4.Node{&root}
	for len(nodes) > 0 {
		node := nodes[0]
		nodes = append(nodes[1:], node.Content...)
		if node.Kind == yaml4.ScalarNode && (node.Value == value || strings.HasSuffix(node.Value, "="+value) || node.Value == "./"+value) {
			return node.Line, node.Column
		}
	}
	return 1, 0
}

// recordingFS notes everything that a build looks at, and has directories watched before they are looked into.
type recordingFS struct {
	filesys.FileSystem
	out   *built
	visit func(string)
}

func (r *recordingFS) note(path string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return
	}
	if _, known := r.out.inputs[abs]; known {
		return
	}
	if dir := filepath.Dir(abs); isDir(dir) {
		r.visit(dir)
	}
	in := input{readAt: time.Now()}
	if info, err := os.Stat(abs); err == nil {
		in.info = info
	}
	r.out.inputs[abs] = in
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (r *recordingFS) Open(path string) (filesys.File, error) {
	r.note(path)
	return r.FileSystem.Open(path)
}

func (r *recordingFS) ReadFile(path string) ([]byte, error) {
	r.note(path)
	if isKustomizationFile(filepath.Base(path)) {
		if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			r.out.dirs[real] = true
		}
	}
	return r.FileSystem.ReadFile(path)
}

func (r *recordingFS) CleanedAbs(path string) (filesys.ConfirmedDir, string, error) {
	r.note(path)
	return r.FileSystem.CleanedAbs(path)
}

func (r *recordingFS) Exists(path string) bool {
	r.note(path)
	return r.FileSystem.Exists(path)
}

func (r *recordingFS) IsDir(path string) bool {
	r.note(path)
	return r.FileSystem.IsDir(path)
}

func (r *recordingFS) ReadDir(path string) ([]string, error) {
	r.note(path)
	r.visit(path)
	return r.FileSystem.ReadDir(path)
}

func (r *recordingFS) Walk(path string, fn filepath.WalkFunc) error {
	r.note(path)
	return r.FileSystem.Walk(path, func(path string, info fs.FileInfo, err error) error {
		r.note(path)
		return fn(path, info, err)
	})
}
