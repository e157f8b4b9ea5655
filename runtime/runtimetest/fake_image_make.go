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

	"skiff.local/skiff/runtime/docker"
)

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
