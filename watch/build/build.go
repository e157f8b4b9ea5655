// Package build finds the images that a set's manifests want built from sources beside them, notices when those sources
// change, and runs the builder. It exists so that saving a source file is all it takes to see it live.
//
// The builder is the docker command line, because it alone speaks both of the engine's builders and every credential
// store, and what it builds is what pods run: on skiff there is nothing to load or push.
package build

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
)

// Annotation on a workload names the build context of its first container's image, relative to the manifest:
//
//	skiff.local/build: ./app
//	skiff.local/build: ./app file=Dockerfile.dev target=debug arg.VERSION=1
//
// A container's name after a dot names that container: skiff.local/build.worker: ./worker.
const Annotation = "skiff.local/build"

// Image is one image and how to build it.
type Image struct {
	// Reference is the tag that the result gets: what the manifest says.
	Reference string
	// Context and Dockerfile are absolute.
	Context    string
	Dockerfile string
	Target     string
	Args       map[string]string
}

// Key tells two ways of building apart.
func (i Image) Key() string {
	return strings.Join(append([]string{i.Reference, i.Context, i.Dockerfile, i.Target}, i.args()...), "\x00")
}

func (i Image) args() []string {
	args := make([]string, 0, len(i.Args))
	for name, value := range i.Args {
		args = append(args, name+"="+value)
	}
	sort.Strings(args)
	return args
}

// ParseAnnotation reads the value of the annotation. Paths are relative to dir.
func ParseAnnotation(value, dir, reference string) (Image, error) {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return Image{}, fmt.Errorf("%s is empty: it names the directory to build", Annotation)
	}
	image := Image{Reference: reference, Context: resolve(dir, fields[0]), Args: map[string]string{}}
	image.Dockerfile = filepath.Join(image.Context, "Dockerfile")
	for _, field := range fields[1:] {
		name, value, found := strings.Cut(field, "=")
		arg, isArg := strings.CutPrefix(name, "arg.")
		switch {
		case !found || value == "" && !isArg:
			return Image{}, fmt.Errorf("%s: %q has no value", Annotation, field)
		case name == "file":
			image.Dockerfile = resolve(image.Context, value)
		case name == "target":
			image.Target = value
		case isArg && arg != "":
			image.Args[arg] = value
		default:
			return Image{}, fmt.Errorf("%s: %q is none of file=, target=, arg.NAME=", Annotation, field)
		}
	}
	return image, nil
}

func resolve(dir, path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
