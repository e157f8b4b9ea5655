package runtimetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// tarOf packs files; a name that ends in a slash is a directory, a value that starts with "-> " a symbolic link.
func tarOf(t *testing.T, files ...string) io.Reader {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		name, data := files[i], files[i+1]
		h := &tar.Header{Name: name, Mode: 0o640, Uid: 1000, Gid: 2000, Size: int64(len(data)), ModTime: time.Unix(1e9, 0)}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		link, isLink := strings.CutPrefix(data, "-> ")
		if isLink {
			h.Typeflag, h.Linkname, h.Size, data = tar.TypeSymlink, link, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func (s *suite) volume(t *testing.T) string {
	t.Helper()
	name := UniqueName("v")
	if _, err := s.eng.CreateVolume(t.Context(), docker.VolumeSpec{Name: name, Labels: s.labels()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.eng.RemoveVolume(context.WithoutCancel(t.Context()), name, true); err != nil && !errors.Is(err, docker.ErrNotFound) {
			t.Errorf("clean up: %v", err)
		}
	})
	return name
}

func files(t *testing.T, s *suite) {
	t.Run("files go in before the start and come out after the end", func(t *testing.T) {
		id := s.create(t, s.spec("cat", "/data/dir/in", ",", "write", "/data/out", "written"))
		ctx := t.Context()
		if err := s.eng.CopyTo(ctx, id, "/data", tarOf(t, "dir/", "", "dir/in", "content\n", "link", "-> dir/in"), docker.CopyOptions{KeepOwner: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.eng.StartContainer(ctx, id); err != nil {
			t.Fatal(err)
		}
		if code, err := s.eng.WaitContainer(ctx, id, docker.WaitNotRunning); err != nil || code != 0 {
			t.Fatalf("code %d, %v", code, err)
		}
		if out, _ := s.logs(t, id, docker.LogOptions{}); out != "content\n" {
			t.Errorf("the process read %q", out)
		}
		body, stat, err := s.eng.CopyFrom(ctx, id, "/data/dir")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = body.Close() }()
		if stat.Name != "dir" || !stat.Mode.IsDir() {
			t.Errorf("stat %+v", stat)
		}
		var got []string
		tr := tar.NewReader(body)
		for {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, h.Name)
			if h.Name == "dir/in" && (h.Uid != 1000 || h.Gid != 2000 || h.Mode&0o777 != 0o640) {
				t.Errorf("owner %d:%d, mode %o", h.Uid, h.Gid, h.Mode)
			}
		}
		if want := []string{"dir/", "dir/in"}; !slices.Equal(got, want) {
			t.Errorf("entries %q, want %q", got, want)
		}
		if stat, err := s.eng.StatPath(ctx, id, "/data/out"); err != nil || stat.Size != 7 || stat.Name != "out" {
			t.Errorf("stat %+v, %v", stat, err)
		}
		if stat, err := s.eng.StatPath(ctx, id, "/data/link"); err != nil || stat.LinkTarget == "" {
			t.Errorf("link %+v, %v", stat, err)
		}
	})
	t.Run("missing paths are not found", func(t *testing.T) {
		id := s.create(t, s.spec("sleep"))
		_, err := s.eng.StatPath(t.Context(), id, "/no/such/path")
		wantError(t, "stat", err, docker.ErrNotFound)
		_, _, err = s.eng.CopyFrom(t.Context(), id, "/no/such/path")
		wantError(t, "copy from", err, docker.ErrNotFound)
		wantError(t, "copy to", s.eng.CopyTo(t.Context(), id, "/no/such/path", tarOf(t, "f", "x"), docker.CopyOptions{}), docker.ErrNotFound)
	})
	t.Run("volumes are written through a container whose root is read-only", func(t *testing.T) {
		name := s.volume(t)
		spec := s.spec("sleep")
		spec.ReadonlyRootfs = true
		spec.Mounts = []docker.Mount{{Type: docker.MountVolume, Source: name, Target: "/mnt/v", NoCopy: true}}
		id := s.create(t, spec)
		if err := s.eng.CopyTo(t.Context(), id, "/mnt/v", tarOf(t, "f", "through"), docker.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.eng.CopyTo(t.Context(), id, "/data", tarOf(t, "f", "x"), docker.CopyOptions{}); err == nil {
			t.Error("the read-only root was written")
		}
		reader := s.spec("cat", "/x/f")
		reader.Mounts = []docker.Mount{{Type: docker.MountVolume, Source: name, Target: "/x", ReadOnly: true}}
		id, _ = s.finish(t, reader)
		if out, _ := s.logs(t, id, docker.LogOptions{}); out != "through" {
			t.Errorf("another container read %q", out)
		}
	})
	t.Run("an empty volume is filled from the image unless told otherwise", func(t *testing.T) {
		for _, noCopy := range []bool{false, true} {
			spec := s.spec("cat", "/data/from-image")
			spec.Mounts = []docker.Mount{{Type: docker.MountVolume, Source: s.volume(t), Target: "/data", NoCopy: noCopy}}
			if _, code := s.finish(t, spec); (code == 0) == noCopy {
				t.Errorf("NoCopy %v: exit code %d", noCopy, code)
			}
		}
	})
	t.Run("a read-only mount is read-only", func(t *testing.T) {
		spec := s.spec("write", "/data/x", "y")
		spec.Mounts = []docker.Mount{{Type: docker.MountVolume, Source: s.volume(t), Target: "/data", ReadOnly: true}}
		id, code := s.finish(t, spec)
		if code == 0 {
			t.Error("it was written")
		}
		if m := s.inspect(t, id).Mounts; len(m) != 1 || !m[0].ReadOnly || m[0].Target != "/data" || m[0].Name == "" {
			t.Errorf("mounts %+v", m)
		}
	})
}

func events(t *testing.T, s *suite) {
	spec := s.spec("exit", "3")
	test := spec.Labels["skiff.local/test"]
	ctx, cancel := context.WithCancel(within(t))
	stream := s.eng.Events(ctx, docker.EventOptions{
		Types: []string{"container"}, Actions: []string{"create", "start", "die", "destroy"}, Labels: map[string]string{"skiff.local/test": test},
	})
	next := func() docker.Event {
		t.Helper()
		select {
		case ev, ok := <-stream:
			if !ok {
				t.Fatal("the stream ended")
			}
			return ev
		case <-time.After(patience):
			t.Fatal("no event")
		}
		panic("unreachable")
	}
	if ev := next(); ev.Action != docker.EventGap || ev.Type != "engine" {
		t.Fatalf("the stream began with %+v, want a gap", ev)
	}
	s.finish(t, s.spec("exit", "0")) // another test's container, which must not show
	id, _ := s.finish(t, spec)
	if err := s.eng.RemoveContainer(t.Context(), id, docker.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"create", "start", "die", "destroy"} {
		ev := next()
		if ev.Action != action || ev.ID != id || ev.Type != "container" || ev.Attributes["name"] != spec.Name || ev.Attributes["skiff.local/test"] != test {
			t.Errorf("got %+v, want %s of %s", ev, action, id)
		}
		if action == "die" && ev.Attributes["exitCode"] != "3" {
			t.Errorf("die without its exit code: %v", ev.Attributes)
		}
		if time.Since(ev.Time).Abs() > time.Hour {
			t.Errorf("%s happened at %v", action, ev.Time)
		}
	}
	cancel()
	for range stream { // it ends
	}
}

func images(t *testing.T, s *suite) {
	ctx := t.Context()
	t.Run("an image is found by its names and its id", func(t *testing.T) {
		info, err := s.eng.InspectImage(ctx, s.image)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(info.Entrypoint, []string{ProgPath}) || info.Labels["skiff.local/test"] != "prog" || info.OS != "linux" || info.Size == 0 {
			t.Errorf("info %+v", info)
		}
		if !slices.Contains(info.Tags, s.image) {
			t.Errorf("tags %v", info.Tags)
		}
		for _, ref := range []string{info.ID, strings.TrimPrefix(info.ID, "sha256:")[:12]} {
			if again, err := s.eng.InspectImage(ctx, ref); err != nil || again.ID != info.ID {
				t.Errorf("by %s: %v", ref, err)
			}
		}
	})
	t.Run("tags come and go", func(t *testing.T) {
		name := "skiff.local/" + UniqueName("tag")
		if err := s.eng.TagImage(ctx, s.image, name); err != nil {
			t.Fatal(err)
		}
		info, err := s.eng.InspectImage(ctx, name+":latest")
		if err != nil || !slices.Contains(info.Tags, name+":latest") {
			t.Errorf("%+v, %v", info, err)
		}
		list, err := s.eng.ListImages(ctx, map[string]string{"skiff.local/test": "prog"})
		if err != nil || !slices.ContainsFunc(list, func(i docker.ImageInfo) bool { return slices.Contains(i.Tags, name+":latest") && i.ID == info.ID }) {
			t.Errorf("not listed: %+v, %v", list, err)
		}
		if err := s.eng.RemoveImage(ctx, name, docker.RemoveImageOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err = s.eng.InspectImage(ctx, name)
		wantError(t, "inspect", err, docker.ErrNoImage)
		if _, err := s.eng.InspectImage(ctx, s.image); err != nil {
			t.Errorf("the other name went too: %v", err)
		}
	})
	t.Run("missing images are not found", func(t *testing.T) {
		_, err := s.eng.InspectImage(ctx, "skiff.local/no-such-image")
		calls := map[string]error{
			"inspect": err,
			"tag":     s.eng.TagImage(ctx, "skiff.local/no-such-image", "skiff.local/x"),
			"remove":  s.eng.RemoveImage(ctx, "skiff.local/no-such-image", docker.RemoveImageOptions{}),
		}
		for what, err := range calls {
			wantError(t, what, err, docker.ErrNotFound)
			wantError(t, what, err, docker.ErrNoImage)
		}
	})
	t.Run("a small image is built", func(t *testing.T) {
		tag := "skiff.local/" + UniqueName("built") + ":1"
		var lines []string
		id, err := s.eng.BuildImage(within(t), tarOf(t, "Dockerfile", "FROM "+s.image+"\nENV BUILT=yes\nCMD [\"env\", \"BUILT\"]\n"), docker.BuildOptions{
			Tags: []string{tag}, Labels: map[string]string{"skiff.local/test": "built"}, Output: func(l string) { lines = append(lines, l) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.eng.RemoveImage(context.WithoutCancel(ctx), tag, docker.RemoveImageOptions{Force: true, PruneChildren: true}); err != nil {
				t.Error(err)
			}
		}()
		info, err := s.eng.InspectImage(ctx, tag)
		if err != nil || info.ID != id || info.Labels["skiff.local/test"] != "built" {
			t.Errorf("id %s, info %+v, %v", id, info, err)
		}
		spec := s.spec()
		spec.Image = tag
		container, _ := s.finish(t, spec)
		if out, _ := s.logs(t, container, docker.LogOptions{}); out != "yes\n" {
			t.Errorf("it printed %q", out)
		}
		wantError(t, "remove an image in use", s.eng.RemoveImage(ctx, tag, docker.RemoveImageOptions{}), docker.ErrConflict)
		if err := s.eng.RemoveContainer(ctx, container, docker.RemoveOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func volumes(t *testing.T, s *suite) {
	ctx := t.Context()
	t.Run("creating twice is creating once", func(t *testing.T) {
		name, labels := s.volume(t), s.labels()
		first, err := s.eng.InspectVolume(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.eng.CreateVolume(ctx, docker.VolumeSpec{Name: name, Labels: labels})
		if err != nil || again.Name != name || again.Driver != "local" || again.Labels["skiff.local/test"] != first.Labels["skiff.local/test"] {
			t.Errorf("%+v, %v", again, err)
		}
		list, err := s.eng.ListVolumes(ctx, first.Labels)
		if err != nil || len(list) != 1 || list[0].Name != name {
			t.Errorf("list %+v, %v", list, err)
		}
	})
	t.Run("one in use stays", func(t *testing.T) {
		name := s.volume(t)
		spec := s.spec("sleep")
		spec.Mounts = []docker.Mount{{Type: docker.MountVolume, Source: name, Target: "/data"}}
		id := s.create(t, spec)
		wantError(t, "remove", s.eng.RemoveVolume(ctx, name, false), docker.ErrConflict)
		if err := s.eng.RemoveContainer(ctx, id, docker.RemoveOptions{Volumes: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.eng.RemoveVolume(ctx, name, false); err != nil {
			t.Errorf("a named volume went with its container: %v", err)
		}
	})
	t.Run("missing volumes are not found", func(t *testing.T) {
		_, err := s.eng.InspectVolume(ctx, "t-no-such-volume")
		wantError(t, "inspect", err, docker.ErrNotFound)
		wantError(t, "remove", s.eng.RemoveVolume(ctx, "t-no-such-volume", false), docker.ErrNotFound)
	})
}
