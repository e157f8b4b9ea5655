package image

import (
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

// helpers are the compressed helper binaries of a build. They are read only when an image has to be made of them, which
// is once per engine: every start pays for what is here.
type helpers struct {
	files    fs.FS
	archives []archiveInfo // sorted by architecture
}

// archiveInfo identifies a compressed binary without reading it.
type archiveInfo struct {
	arch, path string
	size       int64
	// trailer is the end of a gzip file: the CRC and the size of what it holds.
	trailer [8]byte
}

// findHelpers looks at what was embedded.
func findHelpers(files fs.FS) (helpers, error) {
	entries, err := fs.ReadDir(files, embeddedDir) // sorted by name
	if err != nil {
		return helpers{}, fmt.Errorf("read the embedded helpers: %w", err)
	}
	h := helpers{files: files}
	for _, e := range entries {
		name, isHelper := strings.CutPrefix(e.Name(), embeddedPrefix)
		arch, isArchive := strings.CutSuffix(name, embeddedSuffix)
		if !isHelper || !isArchive {
			continue
		}
		info, err := lookAt(files, arch, path.Join(embeddedDir, e.Name()))
		if err != nil {
			return helpers{}, fmt.Errorf("read the embedded helper for %s: %w", arch, err)
		}
		h.archives = append(h.archives, info)
	}
	return h, nil
}

func lookAt(files fs.FS, arch, name string) (archiveInfo, error) {
	info := archiveInfo{arch: arch, path: name}
	f, err := files.Open(name)
	if err != nil {
		return info, err
	}
	defer func() { _ = f.Close() }()
	stat, err := f.Stat()
	if err != nil {
		return info, err
	}
	info.size = stat.Size()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return info, fmt.Errorf("%T can't be read from its end", f)
	}
	if _, err := r.ReadAt(info.trailer[:], max(info.size-int64(len(info.trailer)), 0)); err != nil && !errors.Is(err, io.EOF) {
		return info, err
	}
	return info, nil
}

// version identifies the content of all helpers and the form of the images made of them. It covers every architecture,
// so that a reference is known before the engine was asked for its own. It is made of the archives' checksums: hashing
// their content would cost every start tens of milliseconds.
func (h helpers) version() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "image format %d\n", imageFormat)
	for _, a := range h.archives {
		fmt.Fprintf(sum, "%s %d %x\n", a.arch, a.size, a.trailer)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// binary unpacks the helper for an architecture.
func (h helpers) binary(arch string) ([]byte, error) {
	if len(h.archives) == 0 {
		return nil, &hinted{ErrNotEmbedded, "build skiff with `make build`, which runs `make node` first"}
	}
	i := slices.IndexFunc(h.archives, func(a archiveInfo) bool { return a.arch == arch })
	if i < 0 {
		return nil, &hinted{
			fmt.Errorf("%w for %s engines", ErrNotEmbedded, arch),
			fmt.Sprintf("run `make node NODE_ARCHES=%s` and build skiff again", arch),
		}
	}
	f, err := h.files.Open(h.archives[i].path)
	if err != nil {
		return nil, fmt.Errorf("unpack the embedded helper for %s: %w", arch, err)
	}
	defer func() { _ = f.Close() }()
	r, err := gzip.NewReader(f)
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
