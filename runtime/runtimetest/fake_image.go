package runtimetest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// ImportImage implements Engine.
func (f *Fake) ImportImage(ctx context.Context, r io.Reader, opts docker.ImportOptions) (string, error) {
	const op = "import image"
	if err := f.begin(ctx, "ImportImage", opts.Ref); err != nil {
		return "", err
	}
	img := &fakeImage{files: fileTree{}}
	if err := img.files.unpack("", r, true); err != nil {
		return "", fail(docker.ErrInternal, op, opts.Ref, "%v", err)
	}
	return f.store(op, img, opts.Changes, opts.Ref)
}

// store finishes an image that was imported or built.
func (f *Fake) store(op string, img *fakeImage, changes []string, refs ...string) (string, error) {
	for _, change := range changes {
		if err := applyChange(&img.info, change); err != nil {
			return "", fail(docker.ErrInvalid, op, strings.Join(refs, ", "), "%v", err)
		}
	}
	img.info.ID, img.info.Created, img.info.OS, img.info.Architecture = "sha256:"+newID(), time.Now(), "linux", "amd64"
	img.info.Size = img.files.size()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.images[img.info.ID] = img
	for _, ref := range refs {
		if ref != "" {
			f.tag(img.info.ID, ref)
		}
	}
	return img.info.ID, nil
}

// applyChange understands the Dockerfile instructions that only change an image's configuration.
func applyChange(info *docker.ImageInfo, line string) error {
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	list := func() []string {
		var out []string
		if json.Unmarshal([]byte(rest), &out) != nil {
			out = []string{"/bin/sh", "-c", rest}
		}
		return out
	}
	switch strings.ToUpper(verb) {
	case "ENTRYPOINT":
		info.Entrypoint = list()
	case "CMD":
		info.Cmd = list()
	case "ENV":
		info.Env = append(slices.Clone(info.Env), rest)
	case "LABEL":
		k, v, _ := strings.Cut(rest, "=")
		info.Labels = maps.Clone(info.Labels)
		if info.Labels == nil {
			info.Labels = map[string]string{}
		}
		info.Labels[k] = strings.Trim(v, `"`)
	case "USER":
		info.User = rest
	case "WORKDIR":
		info.WorkingDir = rest
	case "STOPSIGNAL":
		info.StopSignal = rest
	case "EXPOSE":
		info.ExposedPorts = append(slices.Clone(info.ExposedPorts), rest)
	case "VOLUME":
		info.Volumes = append(slices.Clone(info.Volumes), rest)
	default:
		return fmt.Errorf("%s is not a valid change command", verb)
	}
	return nil
}

// BuildImage implements Engine for Dockerfiles that start from an image it has, or scratch, and only change its
// configuration; COPY and RUN do nothing.
func (f *Fake) BuildImage(ctx context.Context, r io.Reader, opts docker.BuildOptions) (string, error) {
	const op = "build image"
	name := strings.Join(opts.Tags, ", ")
	if err := f.begin(ctx, "BuildImage", name); err != nil {
		return "", err
	}
	files := fileTree{}
	if err := files.unpack("", r, true); err != nil {
		return "", fail(docker.ErrInvalid, op, name, "%v", err)
	}
	dockerfile := opts.Dockerfile
	if dockerfile == "" {
		dockerfile = "Dockerfile"
	}
	file, ok := files.get(dockerfile)
	if !ok {
		return "", fail(docker.ErrInternal, op, name, "Cannot locate specified Dockerfile: %s", dockerfile)
	}
	img := &fakeImage{files: fileTree{}}
	var changes []string
	for line := range strings.Lines(string(file.data)) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "", "#", "COPY", "RUN", "ADD", "ARG":
		case "FROM":
			if strings.TrimSpace(rest) == "scratch" {
				continue
			}
			f.mu.Lock()
			base := f.findImage(strings.TrimSpace(rest))
			f.mu.Unlock()
			if base == nil {
				return "", fail(docker.ErrNotFound, op, name, "pull access denied for %s", rest)
			}
			*img = fakeImage{info: base.info, files: maps.Clone(base.files), program: base.program}
			img.info.Tags, img.info.Digests = nil, nil
		default:
			changes = append(changes, line)
		}
	}
	for k, v := range opts.Labels {
		changes = append(changes, "LABEL "+k+"="+v)
	}
	return f.store(op, img, changes, opts.Tags...)
}

// LoadImages implements Engine for the form of `docker save`.
func (f *Fake) LoadImages(ctx context.Context, r io.Reader) ([]string, error) {
	const op = "load image"
	if err := f.begin(ctx, "LoadImages", ""); err != nil {
		return nil, err
	}
	entries := map[string][]byte{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fail(docker.ErrInternal, op, "", "%v", err)
		}
		if entries[h.Name], err = io.ReadAll(tr); err != nil {
			return nil, fail(docker.ErrInternal, op, "", "%v", err)
		}
	}
	var manifests []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(entries["manifest.json"], &manifests); err != nil {
		return nil, fail(docker.ErrInternal, op, "", "%v", err)
	}
	var refs []string
	for _, m := range manifests {
		var config struct {
			Architecture, OS string
			Config           struct {
				User            string
				Env             []string
				Entrypoint, Cmd []string
				WorkingDir      string
				Labels          map[string]string
				ExposedPorts    map[string]struct{}
			}
		}
		if err := json.Unmarshal(entries[m.Config], &config); err != nil {
			return nil, fail(docker.ErrInternal, op, "", "%v", err)
		}
		sum := sha256.Sum256(entries[m.Config])
		c := config.Config
		img := &fakeImage{files: fileTree{}, info: docker.ImageInfo{
			ID: "sha256:" + hex.EncodeToString(sum[:]), Created: time.Now(), Architecture: config.Architecture, OS: config.OS, Labels: c.Labels,
			User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir,
			ExposedPorts: slices.Sorted(maps.Keys(c.ExposedPorts)),
		}}
		for _, layer := range m.Layers {
			if err := img.files.unpack("", bytes.NewReader(entries[layer]), true); err != nil {
				return nil, fail(docker.ErrInternal, op, "", "%v", err)
			}
		}
		f.mu.Lock()
		if _, exists := f.images[img.info.ID]; !exists {
			f.images[img.info.ID] = img
		}
		for _, ref := range m.RepoTags {
			f.tag(img.info.ID, ref)
			refs = append(refs, ref)
		}
		f.mu.Unlock()
	}
	return refs, nil
}
