// Package probeimage builds the probe and loads it into an engine as an image, for network tests and benchmarks: nothing
// is pulled, and what runs in the pods is what this source tree says.
package probeimage

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"skiff.local/skiff/runtime/docker"
)

// Binary is where the probe lies in the image.
const Binary = "/probe"

// Load builds the probe for the engine's architecture and loads it as ref. remove takes it away again.
func Load(ctx context.Context, eng *docker.Engine, ref string) (remove func(context.Context) error, err error) {
	info, err := eng.Info(ctx)
	if err != nil {
		return nil, err
	}
	body, err := build(ctx, info.Architecture)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: Binary[1:], Mode: 0o755, Size: int64(len(body))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if _, err := eng.ImportImage(ctx, &layer, docker.ImportOptions{Ref: ref}); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return eng.RemoveImage(ctx, ref, docker.RemoveImageOptions{Force: true, PruneChildren: true})
	}, nil
}

func build(ctx context.Context, arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "skiff-probe-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	_, here, _, _ := runtime.Caller(0)
	binary := filepath.Join(dir, "probe")
	command := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", binary, "./probe")
	command.Dir = filepath.Dir(filepath.Dir(here))
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the probe: %w\n%s", err, out)
	}
	return os.ReadFile(binary)
}
