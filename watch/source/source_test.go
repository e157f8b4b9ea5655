package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const app = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"

func cm(name string) string { return strings.ReplaceAll(app, "NAME", name) }

// tree writes files below a new directory k, and returns it. A name ending in @ is a symbolic link to its content.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "k")
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(strings.TrimSuffix(name, "@")))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "@") {
			err = os.Symlink(filepath.FromSlash(text), path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// summary is one line per unit: identity, kind, objects, and what is wrong.
func summary(s Snapshot) string {
	var lines []string
	for _, unit := range s.Units {
		var names []string
		for _, obj := range unit.Objects {
			names = append(names, obj.GetKind()+"/"+obj.GetName())
		}
		line := fmt.Sprintf("%s %s: %s", unit.Kind, unit.ID, strings.Join(names, " "))
		for _, p := range unit.Problems {
			line += " !" + p.Error()
		}
		if unit.Skipped != "" {
			line += " skipped: " + unit.Skipped
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	for _, src := range s.Missing {
		lines = append(lines, "missing "+src.Name)
	}
	return strings.Join(lines, "\n")
}

func TestLoad(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		flat  bool
		path  string // below k
		want  string
	}{
		{name: "files before subdirectories, in order", files: map[string]string{"b.yaml": cm("b"), "a.yml": cm("a"), "aa/c.json": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`},
			want: "file k/a.yml: ConfigMap/a\nfile k/b.yaml: ConfigMap/b\nfile k/aa/c.json: ConfigMap/c"},
		{name: "a flat directory", flat: true, files: map[string]string{"a.yaml": cm("a"), "x/b.yaml": cm("b")}, want: "file k/a.yaml: ConfigMap/a"},
		{name: "a single file", path: "a.yaml", files: map[string]string{"a.yaml": cm("a"), "b.yaml": cm("b")}, want: "file a.yaml: ConfigMap/a"},
		{name: "other programs' files are skipped in a directory", files: map[string]string{"compose.yaml": "services: {}\n", "package.json": `{"name": "x"}`, "readme.md": "x"},
			want: "file k/compose.yaml:  skipped: not a Kubernetes manifest\nfile k/package.json:  skipped: not a Kubernetes manifest"},
		{name: "but not when they are named", path: "compose.yaml", files: map[string]string{"compose.yaml": "services: {}\n"},
			want: "file compose.yaml:  !k/compose.yaml:1:1: this document has no apiVersion and kind that a cluster knows (move it to a file of its own, or list the file in .skiffignore)"},
		{name: "nor between manifests", files: map[string]string{"a.yaml": cm("a") + "---\nx: 1\n"},
			want: "file k/a.yaml: ConfigMap/a !k/a.yaml:4:1: this document has no apiVersion and kind that a cluster knows (move it to a file of its own, or list the file in .skiffignore)"},
		{name: "ignored by either file, and taken back", files: map[string]string{
			".gitignore": "*.tmp.yaml\nsecret/\n", ".skiffignore": "!keep.tmp.yaml\nb.yaml\n",
			"a.yaml": cm("a"), "b.yaml": cm("b"), "x.tmp.yaml": cm("x"), "keep.tmp.yaml": cm("keep"), "secret/s.yaml": cm("s"),
			"sub/.gitignore": "/c.yaml\n", "sub/c.yaml": cm("c"), "sub/d/c.yaml": cm("dc"),
		}, want: "file k/a.yaml: ConfigMap/a\nfile k/keep.tmp.yaml: ConfigMap/keep\nfile k/sub/d/c.yaml: ConfigMap/dc"},
		{name: "a repository's rules count below a named directory", path: "deploy", files: map[string]string{
			".git/HEAD": "x", ".gitignore": "deploy/*.local.yaml\nother/\n", "deploy/a.yaml": cm("a"), "deploy/b.local.yaml": cm("b"), "deploy/other/c.yaml": cm("c"),
		}, want: "file deploy/a.yaml: ConfigMap/a"},
		{name: "unless it is ignored itself", path: "build", files: map[string]string{".git/HEAD": "x", ".gitignore": "build/\n", "build/a.yaml": cm("a")},
			want: "file build/a.yaml: ConfigMap/a"},
		{name: "hidden files and editors' files", files: map[string]string{".a.yaml": cm("a"), "b.yaml~": cm("b"), "#c.yaml#": cm("c"), ".d/e.yaml": cm("e"), "f.yaml.bak": cm("f")}, want: ""},
		{name: "a link that leads nowhere", files: map[string]string{"a.yaml@": "gone.yaml"}, want: "file k/a.yaml:  !k/a.yaml: can't stat it: no such file or directory (is it a link to something that is gone?)"},
		{name: "a linked directory once, circles not at all", files: map[string]string{"real/a.yaml": cm("a"), "again@": "real", "circle@": "."}, want: "file k/again/a.yaml: ConfigMap/a"},
		{name: "a kustomization", files: map[string]string{
			"kustomization.yaml": "namePrefix: dev-\nresources: [a.yaml]\nconfigMapGenerator:\n- name: gen\n  files: [x.txt]\n  options: {disableNameSuffixHash: true}\n", "a.yaml": cm("a"), "x.txt": "hello", "ignored.yaml": cm("no"),
		}, want: "kustomization k: ConfigMap/dev-a ConfigMap/dev-gen"},
		{name: "bases are part of their overlays", files: map[string]string{
			"base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": cm("a"), "overlays/dev/kustomization.yaml": "nameSuffix: -dev\nresources: [../../base]\n", "plain/b.yaml": cm("b"),
		}, want: "kustomization k/overlays/dev: ConfigMap/a-dev\nfile k/plain/b.yaml: ConfigMap/b"},
		{name: "a kustomization that lacks a file", files: map[string]string{"kustomization.yaml": "resources: [gone.yaml]\n"},
			want: "kustomization k:  !k/kustomization.yaml:1:13: gone.yaml is not there"},
		{name: "a kustomization with a broken part", files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": cm("a") + "\tx: y\n"},
			want: "kustomization k:  !k/a.yaml:4:1: found character that cannot start any token (a tab stands here: YAML is indented with spaces)"},
		{name: "a chart", files: map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n", "values.yaml": "name: a\n",
			"templates/cm.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.name }}-{{ .Release.Name }}, namespace: {{ .Release.Namespace }}}\n",
			"templates/_help.tpl": "{{ define \"x\" }}{{ end }}", "templates/NOTES.txt": "hello",
			"templates/test.yaml":  "apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n",
			"templates/empty.yaml": "{{ if false }}x{{ end }}",
			"crds/c.yaml":          "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: c}\n",
		}, want: "chart k: CustomResourceDefinition/c ConfigMap/a-k"},
		{name: "a chart with a mistake in a template", files: map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n", "templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.a.b.c }}\n",
		}, want: "chart k:  !k/templates/cm.yaml:4:19: executing \"web/templates/cm.yaml\" at <.Values.a.b.c>: nil pointer evaluating interface {}.b"},
		{name: "a chart whose values are no YAML", files: map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n", "values.yaml": "a: 1\n\tb: 2\n"},
			want: "chart k:  !k/values.yaml:2:1: found a tab character that violates indentation (while scanning a plain scalar at line 1) (a tab stands here: YAML is indented with spaces)"},
		{name: "a chart whose values don't fit its schema", files: map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n", "values.yaml": "replicas: 1\n", "values.schema.json": `{"properties": {"replicas": {"type": "string"}}}`,
		}, want: "chart k:  !k/Chart.yaml: the values don't fit the chart's schema: at '/replicas': got number, want string"},
		{name: "a chart that lacks a dependency", files: map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies: [{name: redis, version: 1.0.0, repository: 'https://example.invalid'}]\n",
		}, want: "chart k:  !k/Chart.yaml: its dependencies are not there: redis (helm dependency build k)"},
		{name: "nothing there", path: "gone", files: map[string]string{"a.yaml": cm("a")}, want: "missing k/gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := tree(t, tc.files)
			src := Source{Path: filepath.Join(dir, tc.path), Name: filepath.Join("k", tc.path), Flat: tc.flat}
			loader := NewLoader([]Source{src}, Options{Namespace: "shop"})
			for _, pass := range []string{"first", "second"} {
				got := strings.ReplaceAll(summary(loader.Load(nil)), dir, "k")
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s pass (-want +got):\n%s", pass, diff)
				}
			}
		})
	}
}

func TestDirectoriesAreVisitedBeforeTheyAreListed(t *testing.T) {
	dir := tree(t, map[string]string{"a.yaml": cm("a"), "x/b.yaml": cm("b"), "k/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [c.yaml]\n", "base/c.yaml": cm("c")})
	loader := NewLoader([]Source{{Path: dir, Name: "k"}}, Options{})
	sneaked := false
	visited := map[string]bool{}
	snapshot := loader.Load(func(visitedDir string) {
		visited[visitedDir] = true
		if visitedDir == filepath.Join(dir, "x") && !sneaked {
			sneaked = true
			if err := os.WriteFile(filepath.Join(dir, "x", "late.yaml"), []byte(cm("late")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	if !strings.Contains(summary(snapshot), "ConfigMap/late") {
		t.Error("a file that came right after the visit was missed")
	}
	for _, want := range []string{"", "x", "k", "base"} {
		if !visited[filepath.Join(dir, want)] {
			t.Errorf("%s was not visited", want)
		}
	}
}

func TestBuildsFollowTheirParts(t *testing.T) {
	dir := tree(t, map[string]string{
		"kust/kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator: [{name: g, files: [x.txt], options: {disableNameSuffixHash: true}}]\n", "kust/a.yaml": cm("a"), "kust/x.txt": "1",
		"chart/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "chart/values.yaml": "v: 1\n", "chart/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {x: \"{{ .Values.v }}\"}\n",
		"mine.yml.values": "v: 7\n",
	})
	values := filepath.Join(dir, "mine.yml.values")
	loader := NewLoader([]Source{{Path: dir, Name: "k", Values: []string{values}}}, Options{})
	hashes := func() string {
		var all []string
		for _, unit := range loader.Load(nil).Units {
			for _, obj := range unit.Objects {
				all = append(all, obj.GetName()+"="+obj.Hash)
			}
		}
		return strings.Join(all, " ")
	}
	before := hashes()
	for name, text := range map[string]string{"kust/x.txt": "2", "chart/values.yaml": "v: 1\nw: 2\n", "mine.yml.values": "v: 8\n", "chart/templates/b.yaml": cm("b")} {
		path := filepath.Join(dir, name)
		if !loader.Relevant(path) {
			t.Errorf("%s is not relevant", name)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		after := hashes()
		if after == before && name != "chart/values.yaml" {
			t.Errorf("%s changed nothing", name)
		}
		before = after
	}
	// Nor is a value file's mistake blamed on the chart.
	for text, want := range map[string]string{"v: 7\n x: 8\n": "k/mine.yml.values:2:2: mapping values are not allowed in this context", "- v\n": "k/mine.yml.values: it holds no mapping of names to values"} {
		if err := os.WriteFile(values, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := summary(loader.Load(nil)); !strings.Contains(got, want) {
			t.Errorf("%q is reported as\n%s\nwant %s", text, got, want)
		}
	}
}

func TestRelevant(t *testing.T) {
	dir := tree(t, map[string]string{"a.yaml": cm("a"), "x/b.yaml": cm("b"), "app.log": "x"})
	loader := NewLoader([]Source{{Path: dir, Name: "k"}}, Options{})
	loader.Load(nil)
	for name, want := range map[string]bool{"a.yaml": true, "new.yml": true, "x": true, "app.log": false, ".a.yaml.swp": false, "a.yaml~": false, ".gitignore": true, "gone-directory": true} {
		if got := loader.Relevant(filepath.Join(dir, name)); got != want {
			t.Errorf("%s: relevant %v, want %v", name, got, want)
		}
	}
}
