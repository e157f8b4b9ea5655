package livesync

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// remotePath is where a file of a rule lies in the container.
func remotePath(rule Rule, name string) string {
	if name == "." {
		return rule.Remote
	}
	return path.Join(rule.Remote, name)
}

// writeTar writes what a job copies, with paths from the container's root and without owners: the container's user is
// who owns what it unpacks.
func writeTar(w io.Writer, j job) error {
	out := tar.NewWriter(w)
	names := make([]string, 0, len(j.copy))
	for name := range j.copy {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		local := j.rule.Local
		if name != "." {
			local = filepath.Join(local, filepath.FromSlash(name))
		}
		if err := writeFile(out, local, strings.TrimPrefix(remotePath(j.rule, name), "/")); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

func writeFile(out *tar.Writer, local, remote string) error {
	data, err := os.ReadFile(local)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since it was seen; the next look removes it
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", local, err)
	}
	info, err := os.Stat(local)
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	header := &tar.Header{Name: remote, Typeflag: tar.TypeReg, Mode: int64(info.Mode().Perm()), Size: int64(len(data)), ModTime: info.ModTime()}
	if err := out.WriteHeader(header); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if _, err := out.Write(data); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}
