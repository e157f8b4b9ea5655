package runtimetest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// ProgPath is where ProgImage has its only program; its arguments are the steps of prog.Run.
const ProgPath = "/prog"

// Connect reaches the real engine, or fails the test: tests that need an engine are run where there is one. Under
// -short it skips.
func Connect(t testing.TB) *docker.Engine {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	eng, err := docker.Connect(ctx, docker.Options{})
	if err != nil {
		t.Fatalf("this test needs a Docker Engine (`make setup` installs and starts one): %v\n%s", err, docker.Hint(err))
	}
	t.Cleanup(func() { _ = eng.Close() })
	return eng
}

// ProgImage gives the engine an image with the test program under a name of its own, removes it when the test is over,
// and returns its name.
func ProgImage(t testing.TB, eng Engine) string {
	t.Helper()
	ref := "skiff.local/" + UniqueName("prog") + ":1"
	_, err := eng.ImportImage(t.Context(), bytes.NewReader(progTar(t, eng)), docker.ImportOptions{
		Ref: ref, Changes: []string{`ENTRYPOINT ["` + ProgPath + `"]`, "ENV FROM_IMAGE=yes", "LABEL skiff.local/test=prog"},
	})
	if err != nil {
		t.Fatalf("load the test program's image: %v", err)
	}
	t.Cleanup(func() {
		if err := eng.RemoveImage(context.WithoutCancel(t.Context()), ref, docker.RemoveImageOptions{Force: true, PruneChildren: true}); err != nil {
			t.Errorf("remove the test program's image: %v", err)
		}
	})
	return ref
}

// UniqueName is a name for something in a shared engine: recognisable as a test's and never used twice.
func UniqueName(kind string) string {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return "t-" + kind + "-" + hex.EncodeToString(b[:])
}

// progTar is the image's root file system. On the fake the program's bytes don't matter.
func progTar(t testing.TB, eng Engine) []byte {
	t.Helper()
	binary := []byte("in-process")
	if _, fake := eng.(*Fake); !fake {
		binary = buildProg(t, eng)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range []struct {
		name string
		mode int64
		data []byte
	}{{"prog", 0o755, binary}, {"tmp/", 0o1777, nil}, {"data/", 0o777, nil}, {"data/from-image", 0o644, []byte("image\n")}} {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func buildProg(t testing.TB, eng Engine) []byte {
	t.Helper()
	info, err := eng.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "prog")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", path, "skiff.local/skiff/runtime/runtimetest/prog/prog")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+info.Architecture, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test program: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
