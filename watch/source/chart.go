package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"skiff.local/skiff/watch/manifest"
)

const (
	chartFile  = "Chart.yaml"
	valuesFile = "values.yaml"
)

// defaultKubeVersion is what templates see when the cluster can't be asked.
const defaultKubeVersion = "v1.36.0"

// chart renders the chart in a directory, unless nothing it was made of changed.
func (w *walk) chart(source Source, at place) {
	out, known := w.loader.builds[at.path]
	if !known || !out.unchanged() {
		out = w.renderChart(source, at)
		w.loader.builds[at.path] = out
	}
	w.addBuilt(Chart, at, out)
}

func (w *walk) renderChart(source Source, at place) *built {
	out := &built{inputs: map[string]input{}, dirs: map[string]bool{}}
	fail := func(file string, err error) *built {
		out.problems = append(out.problems, chartProblem(file, at, err))
		return out
	}
	if err := w.noteTree(at.path, out); err != nil {
		return fail(at.name, err)
	}
	if w.readTexts(source, at, out); len(out.problems) > 0 {
		return out
	}
	loaded, err := loader.LoadDir(at.path)
	if err != nil {
		return fail(filepath.Join(at.name, chartFile), err)
	}
	if missing := missingDependencies(loaded); len(missing) > 0 {
		out.problems = []manifest.Problem{{
			File: filepath.Join(at.name, chartFile), Reason: "its dependencies are not there: " + strings.Join(missing, ", "),
			Hint: "helm dependency build " + at.name,
		}}
		return out
	}
	values := map[string]any{}
	for _, file := range source.Values {
		more, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return fail(source.called(file), valuesError(err))
		}
		values = chartutil.CoalesceTables(more, values)
	}
	rendered, err := w.render(loaded, values, at)
	if err != nil {
		return fail(filepath.Join(at.name, chartFile), err)
	}
	for _, crd := range loaded.CRDObjects() {
		addRendered(out, at, crd.Filename, string(crd.File.Data))
	}
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		base := path.Base(name)
		if strings.HasPrefix(base, "_") || base == "NOTES.txt" {
			continue
		}
		addRendered(out, at, name, rendered[name])
	}
	return out
}

// readTexts looks for what is no YAML in the files that helm reads itself, because helm's messages know no column and
// often no line. What can't be read at all is left to helm.
func (w *walk) readTexts(source Source, at place, out *built) {
	look := func(name, path string) {
		if data, err := os.ReadFile(path); err == nil {
			out.problems = append(out.problems, syntaxProblems(name, data)...)
		}
	}
	for _, base := range []string{chartFile, valuesFile} {
		look(filepath.Join(at.name, base), filepath.Join(at.path, base))
	}
	for _, file := range source.Values {
		w.note(file, out)
		look(source.called(file), file)
	}
}

// valuesError says what helm's decoder means: the syntax was checked before.
func valuesError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is not there")
	}
	return errors.New("it holds no mapping of names to values")
}

// schemaError puts into one line what a chart's schema says about its values.
func schemaError(err error) error {
	var reasons []string
	for line := range strings.Lines(err.Error()) {
		if reason, found := strings.CutPrefix(strings.TrimSpace(line), "- "); found {
			reasons = append(reasons, reason)
		}
	}
	if len(reasons) == 0 {
		return fmt.Errorf("check values: %w", err)
	}
	return fmt.Errorf("the values don't fit the chart's schema: %s", strings.Join(reasons, "; "))
}

func (w *walk) render(loaded *chart.Chart, values map[string]any, at place) (map[string]string, error) {
	if err := chartutil.ProcessDependenciesWithMerge(loaded, values); err != nil {
		return nil, fmt.Errorf("resolve dependencies: %w", err)
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	version := defaultKubeVersion
	if w.loader.options.Version != nil {
		if v := w.loader.options.Version(); v != "" {
			version = v
		}
	}
	if parsed, err := chartutil.ParseKubeVersion(version); err == nil {
		capabilities.KubeVersion = *parsed
	}
	release := chartutil.ReleaseOptions{Name: releaseName(at.path), Namespace: w.loader.options.Namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(loaded, values, release, capabilities)
	if err != nil {
		return nil, schemaError(err)
	}
	return engine.Render(loaded, all)
}

var notInRelease = regexp.MustCompile(`[^a-z0-9-]+`)

// releaseName is what templates see as .Release.Name: the directory's name, as far as it may be part of object names.
func releaseName(dir string) string {
	name := strings.Trim(notInRelease.ReplaceAllString(strings.ToLower(filepath.Base(dir)), "-"), "-")
	if name == "" {
		return "chart"
	}
	return name[:min(len(name), 53)]
}

// addRendered parses one rendered template. Its lines are not those of the file, so only the file is named.
func addRendered(out *built, at place, template, text string) {
	_, inside, _ := strings.Cut(template, "/")
	file := filepath.Join(at.name, filepath.FromSlash(inside))
	result := manifest.Parse(file, []byte(text))
	for _, problem := range result.Problems {
		problem.Reason = fmt.Sprintf("renders to something that can't be read: line %d: %s", problem.Line, problem.Reason)
		problem.Line, problem.Column = 0, 0
		out.problems = append(out.problems, problem)
	}
	for _, obj := range result.Objects {
		if skipHook(obj.GetAnnotations()["helm.sh/hook"]) {
			continue
		}
		objects, problems := manifest.Generated(file, obj.Object)
		out.objects, out.problems = append(out.objects, objects...), append(out.problems, problems...)
	}
}

// skipHook leaves out what helm only runs on request or when a release goes. Hooks of installs and upgrades are applied
// like other objects: a watched set has no moment of installing.
func skipHook(hook string) bool {
	if hook == "" {
		return false
	}
	for _, event := range strings.Split(hook, ",") {
		switch strings.TrimSpace(event) {
		case "pre-install", "post-install", "pre-upgrade", "post-upgrade", "crd-install":
			return false
		}
	}
	return true
}

func missingDependencies(c *chart.Chart) []string {
	var missing []string
	for _, wanted := range c.Metadata.Dependencies {
		if !slices.ContainsFunc(c.Dependencies(), func(have *chart.Chart) bool { return have.Name() == wanted.Name }) {
			missing = append(missing, wanted.Name)
		}
	}
	return missing
}

// noteTree records everything below a directory and has it watched.
func (w *walk) noteTree(dir string, out *built) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != dir && hidden(entry.Name()) {
				return filepath.SkipDir
			}
			w.visit(path)
		}
		if !editorsOwn(entry.Name()) {
			w.note(path, out)
		}
		return nil
	})
}

func (w *walk) note(path string, out *built) {
	in := input{readAt: time.Now()}
	if info, err := os.Stat(path); err == nil {
		in.info = info
	}
	out.inputs[path] = in
}

// templatePlace finds the place in helm's messages, which carry it only as text: (chart/templates/a.yaml:3:14).
var templatePlace = regexp.MustCompile(`(?:at \(|template: )([^\s():]+):(\d+)(?::(\d+))?\)?:? ?`)

func chartProblem(file string, at place, err error) manifest.Problem {
	reason, _, _ := strings.Cut(err.Error(), "\n")
	problem := manifest.Problem{File: file, Reason: strings.ReplaceAll(reason, at.path, at.name)}
	if match := templatePlace.FindStringSubmatchIndex(reason); match != nil {
		_, inside, found := strings.Cut(reason[match[2]:match[3]], "/")
		if found {
			problem.File = filepath.Join(at.name, filepath.FromSlash(inside))
		}
		problem.Line, _ = strconv.Atoi(reason[match[4]:match[5]])
		if match[6] >= 0 {
			column, _ := strconv.Atoi(reason[match[6]:match[7]])
			problem.Column = column + 1 // templates count from zero
		}
		if rest := strings.TrimSpace(reason[match[1]:]); rest != "" {
			problem.Reason = rest
		}
	}
	return problem
}
