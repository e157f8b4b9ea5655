package image

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed embedded
var embedded embed.FS

const (
	embeddedDir    = "embedded"
	embeddedPrefix = "skiff-node-linux-"
	embeddedSuffix = ".gz"
)

// ErrNotEmbedded: this binary was built without the container helper, or not for the engine's architecture.
var ErrNotEmbedded = errors.New("the container helper is not part of this build")

// helpers are the compressed helper binaries of a build, by architecture.
type helpers map[string][]byte

// loadHelpers reads what was embedded.
func loadHelpers(files fs.FS) (helpers, error) {
	entries, err := fs.ReadDir(files, embeddedDir)
	if err != nil {
		return nil, fmt.Errorf("read the embedded helpers: %w", err)
	}
	out := helpers{}
	for _, e := range entries {
		name, isHelper := strings.CutPrefix(e.Name(), embeddedPrefix)
		arch, isArchive := strings.CutSuffix(name, embeddedSuffix)
		if !isHelper || !isArchive {
			continue
		}
		if out[arch], err = fs.ReadFile(files, path.Join(embeddedDir, e.Name())); err != nil {
			return nil, fmt.Errorf("read the embedded helper for %s: %w", arch, err)
		}
	}
	return out, nil
}

// version identifies the content of all helpers and the form of the images made of them. It covers every architecture,
// so that a reference is known before the engine was asked for its own.
func (h helpers) version() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "image format %d\n", imageFormat)
	arches := make([]string, 0, len(h))
	for arch := range h {
		arches = append(arches, arch)
	}
	slices.Sort(arches)
	for _, arch := range arches {
		fmt.Fprintf(sum, "%s %d\n", arch, len(h[arch]))
		sum.Write(h[arch])
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// binary unpacks the helper for an architecture.
func (h helpers) binary(arch string) ([]byte, error) {
	if len(h) == 0 {
		return nil, &hinted{ErrNotEmbedded, "build skiff with `make build`, which runs `make node` first"}
	}
	packed, ok := h[arch]
	if !ok {
		return nil, &hinted{
			fmt.Errorf("%w for %s engines", ErrNotEmbedded, arch),
			fmt.Sprintf("run `make node NODE_ARCHES=%s` and build skiff again", arch),
		}
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the embedded helper for %s: %w", arch, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpack the embedded helper for %s: %w", arch, err)
	}
	return data, nil
}

// hinted is an error with the next thing to try.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Hint is the next thing to try.
func (h *hinted) Hint() string { return h.hint }
