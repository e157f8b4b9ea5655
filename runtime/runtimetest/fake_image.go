package runtimetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"skiff.local/skiff/runtime/docker"
)

type fakeImage struct {
	info    docker.ImageInfo
	files   fileTree
	program Program
}

// RemoteImage is what the fake's registry has under a name.
type RemoteImage struct {
	Info    docker.ImageInfo
	Program Program
	Err     error // what a pull fails with instead
	// Gate, when set, is waited for before a pull ends.
	Gate <-chan struct{}
}

// AddImage puts an image into the engine. Its processes run program; nil leaves them to the programs the fake knows.
func (f *Fake) AddImage(ref string, info docker.ImageInfo, program Program) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if info.ID == "" {
		info.ID = "sha256:" + newID()
	}
	if len(info.Entrypoint)+len(info.Cmd) == 0 {
		info.Entrypoint = []string{ProgPath, "sleep"}
	}
	if info.Created.IsZero() {
		info.Created = time.Now()
	}
	f.images[info.ID] = &fakeImage{info: info, program: program, files: fileTree{}}
	f.tag(info.ID, ref)
	return info.ID
}

// SetRemote puts an image into the registry.
func (f *Fake) SetRemote(ref string, img RemoteImage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remote[familiar(ref)] = img
}

// SetRegistryDown makes every pull fail as without a network, or work again.
func (f *Fake) SetRegistryDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noRegistry = down
}

// familiar is a reference as engines list it: no default registry, always a tag or digest.
func familiar(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

func (f *Fake) tag(id, ref string) {
	name := familiar(ref)
	for _, img := range f.images {
		img.info.Tags = slices.DeleteFunc(slices.Clone(img.info.Tags), func(t string) bool { return t == name })
	}
	img := f.images[id]
	if strings.Contains(name, "@") {
		img.info.Digests = append(img.info.Digests, name)
	} else {
		img.info.Tags = append(img.info.Tags, name)
	}
	f.events.emit(docker.Event{Type: "image", Action: "tag", ID: id, Attributes: map[string]string{"name": name}})
}

func (f *Fake) findImage(ref string) *fakeImage {
	if img, ok := f.images[ref]; ok {
		return img
	}
	name := familiar(ref)
	for id, img := range f.images {
		if slices.Contains(img.info.Tags, name) || slices.Contains(img.info.Digests, name) {
			return img
		}
		if hash := strings.TrimPrefix(id, "sha256:"); len(ref) >= 12 && strings.HasPrefix(hash, strings.TrimPrefix(ref, "sha256:")) {
			return img
		}
	}
	return nil
}

func noImage(op, ref string) error {
	err := fail(docker.ErrNotFound, op, ref, "No such image: %s", ref)
	err.Also = docker.ErrNoImage
	return err
}

// InspectImage implements Engine.
func (f *Fake) InspectImage(ctx context.Context, ref string) (*docker.ImageInfo, error) {
	if err := f.begin(ctx, "InspectImage", ref); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	img := f.findImage(ref)
	if img == nil {
		return nil, noImage("inspect image", ref)
	}
	info := img.info
	return &info, nil
}

// ListImages implements Engine.
func (f *Fake) ListImages(ctx context.Context, labels map[string]string) ([]docker.ImageInfo, error) {
	if err := f.begin(ctx, "ListImages", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []docker.ImageInfo{}
	for _, img := range f.images {
		if matches(img.info.Labels, labels) {
			i := img.info
			out = append(out, docker.ImageInfo{ID: i.ID, Tags: i.Tags, Digests: i.Digests, Created: i.Created, Size: i.Size, Labels: maps.Clone(i.Labels)})
		}
	}
	slices.SortFunc(out, func(a, b docker.ImageInfo) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// PullImage implements Engine.
func (f *Fake) PullImage(ctx context.Context, ref string, opts docker.PullOptions) error {
	const op = "pull image"
	if err := f.begin(ctx, "PullImage", ref); err != nil {
		return err
	}
	f.mu.Lock()
	img, ok := f.remote[familiar(ref)]
	down := f.noRegistry
	f.mu.Unlock()
	if down {
		err := fail(docker.ErrInternal, op, ref, "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host")
		err.Also = docker.ErrRegistry
		return err
	}
	if !ok {
		err := fail(docker.ErrNotFound, op, ref, "pull access denied for %s, repository does not exist or may require 'docker login'", ref)
		err.Also = docker.ErrRegistry
		return err
	}
	if img.Gate != nil {
		select {
		case <-img.Gate:
		case <-ctx.Done():
			return &docker.Error{Op: op, Object: ref, Err: ctx.Err()}
		}
	}
	if img.Err != nil {
		return img.Err
	}
	if opts.Progress != nil {
		opts.Progress(docker.PullProgress{Layer: "0123456789ab", Status: "Downloading", Current: 1, Total: 2})
		opts.Progress(docker.PullProgress{Status: "Status: Downloaded newer image for " + ref})
	}
	f.AddImage(ref, img.Info, img.Program)
	return nil
}

// TagImage implements Engine.
func (f *Fake) TagImage(ctx context.Context, source, target string) error {
	if err := f.begin(ctx, "TagImage", source); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	img := f.findImage(source)
	if img == nil {
		return noImage("tag image", source)
	}
	f.tag(img.info.ID, target)
	return nil
}

// RemoveImage implements Engine.
func (f *Fake) RemoveImage(ctx context.Context, ref string, opts docker.RemoveImageOptions) error {
	const op = "remove image"
	if err := f.begin(ctx, "RemoveImage", ref); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	img := f.findImage(ref)
	if img == nil {
		return noImage(op, ref)
	}
	byTag := slices.Contains(img.info.Tags, familiar(ref))
	if byTag && len(img.info.Tags) > 1 {
		img.info.Tags = slices.DeleteFunc(slices.Clone(img.info.Tags), func(t string) bool { return t == familiar(ref) })
		return nil
	}
	if !byTag && len(img.info.Tags) > 1 && !opts.Force {
		return fail(docker.ErrConflict, op, ref, "conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", ref)
	}
	for _, c := range f.containers {
		if c.image == img && (c.state.Running || !opts.Force) {
			return fail(docker.ErrConflict, op, ref, "conflict: unable to remove repository reference %q - container %s is using its referenced image", ref, c.id[:12])
		}
	}
	delete(f.images, img.info.ID)
	f.events.emit(docker.Event{Type: "image", Action: "delete", ID: img.info.ID, Attributes: map[string]string{"name": img.info.ID}})
	return nil
}
