package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"skiff.local/skiff/runtime/docker"
)

// The images that skiff carries with it.
const (
	// NodeRepository holds the helper: pause, relay, volume chores. Its tag is a hash of its content.
	NodeRepository = "skiff.local/node"
	// HelloRepository holds the demo web server, tagged with each of HelloVersions.
	HelloRepository = "skiff.local/hello"
)

// HelloVersions are the tags of the demo web server: two, so that a rollout has somewhere to go.
func HelloVersions() []string { return []string{"1.0", "2.0"} }

// labelContent says which build of skiff an image with a fixed tag came from.
const labelContent = "skiff.local/content"

// Loader is what loading our images needs of an engine.
type Loader interface {
	InspectImage(ctx context.Context, ref string) (*docker.ImageInfo, error)
	LoadImages(ctx context.Context, tar io.Reader) ([]string, error)
	Info(ctx context.Context) (*docker.EngineInfo, error)
}

// EnsureNode makes sure that the engine has the helper image and returns its reference. When it is there already, as it
// is on every start but the first, that costs one request.
func EnsureNode(ctx context.Context, eng Loader) (string, error) {
	h, err := findHelpers(embedded)
	if err != nil {
		return "", err
	}
	version := h.version()
	ref := NodeRepository + ":" + version
	return ref, ensure(ctx, eng, h, version, []taggedConfig{nodeImage(ref, version)})
}

// EnsureHello makes sure that the engine has both versions of the demo web server, and that they are those of this build
// of skiff. It returns their references.
func EnsureHello(ctx context.Context, eng Loader) ([]string, error) {
	h, err := findHelpers(embedded)
	if err != nil {
		return nil, err
	}
	version := h.version()
	var refs []string
	var images []taggedConfig
	for _, v := range HelloVersions() {
		images = append(images, helloImage(v, version))
		refs = append(refs, HelloRepository+":"+v)
	}
	return refs, ensure(ctx, eng, h, version, images)
}

func nodeImage(ref, version string) taggedConfig {
	return taggedConfig{ref: ref, config: imageConfig{
		Entrypoint: []string{docker.HelperPath},
		Cmd:        []string{"pause"},
		WorkingDir: "/",
		Labels:     ownLabels(version),
	}}
}

func helloImage(helloVersion, version string) taggedConfig {
	return taggedConfig{ref: HelloRepository + ":" + helloVersion, config: imageConfig{
		User:         "65532:65532",
		Entrypoint:   []string{docker.HelperPath, "hello"},
		Env:          []string{"HELLO_VERSION=" + helloVersion},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		WorkingDir:   "/",
		Labels:       ownLabels(version),
	}}
}

func ownLabels(version string) map[string]string {
	return map[string]string{docker.LabelRole: string(docker.RoleImage), labelContent: version}
}

// ensure loads the images unless the engine has all of them from this build.
func ensure(ctx context.Context, eng Loader, h helpers, version string, images []taggedConfig) error {
	present := true
	for _, img := range images {
		info, err := eng.InspectImage(ctx, img.ref)
		if err != nil && !errors.Is(err, docker.ErrNotFound) {
			return err
		}
		if err != nil || info.Labels[labelContent] != version {
			present = false
			break
		}
	}
	if present {
		return nil
	}
	info, err := eng.Info(ctx)
	if err != nil {
		return err
	}
	binary, err := h.binary(info.Architecture)
	if err != nil {
		return err
	}
	layer, err := helperLayer(binary)
	if err != nil {
		return err
	}
	tar, err := archive(info.Architecture, layer, images)
	if err != nil {
		return err
	}
	if _, err := eng.LoadImages(ctx, bytes.NewReader(tar)); err != nil {
		return fmt.Errorf("load the embedded image %s: %w", images[0].ref, err)
	}
	return nil
}

// Remover is what removing our images needs of an engine.
type Remover interface {
	ListImages(ctx context.Context, labels map[string]string) ([]docker.ImageInfo, error)
	RemoveImage(ctx context.Context, ref string, opts docker.RemoveImageOptions) error
}

// RemoveOwn removes the images that skiff loaded, those in use and those named in keep left alone. It returns how many
// went; images are shared by all profiles, so callers keep them while another profile exists. An image that somebody built
// on one of ours has its labels too, and is not ours.
func RemoveOwn(ctx context.Context, eng Remover, keep ...string) (int, error) {
	images, err := eng.ListImages(ctx, map[string]string{docker.LabelRole: string(docker.RoleImage)})
	if err != nil {
		return 0, err
	}
	kept := map[string]bool{}
	for _, ref := range keep {
		kept[ref] = true
	}
	removed := 0
	for _, img := range images {
		names := img.Tags
		if len(names) == 0 && img.Created.Unix() == 0 {
			names = []string{img.ID} // its tag went to a newer build; only what we load has no date
		}
		for _, name := range names {
			if kept[name] || name != img.ID && !ownName(name) {
				continue
			}
			err := eng.RemoveImage(ctx, name, docker.RemoveImageOptions{PruneChildren: true})
			switch {
			case err == nil:
				removed++
			case errors.Is(err, docker.ErrConflict), errors.Is(err, docker.ErrNotFound):
			default:
				return removed, err
			}
		}
	}
	return removed, nil
}

func ownName(ref string) bool {
	repository, _, _ := strings.Cut(ref, ":")
	return repository == NodeRepository || repository == HelloRepository
}
