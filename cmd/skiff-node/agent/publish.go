//go:build linux

package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"skiff.local/skiff/runtime/volume/wire"
)

const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
)

// publish replaces a volume's content in the layout of Kubernetes' AtomicWriter: the files live in a directory with a
// timestamp, ..data points at it, and what a user sees are links through ..data. Renaming ..data changes every file at
// once, and programs that watch for that (most that reload configuration do) see it.
func (v *volumes) publish(op *wire.Op, res *wire.Result) error {
	dir := op.Path
	old, _ := os.Readlink(filepath.Join(dir, dataLink))
	if old != "" && same(filepath.Join(dir, old), op.Files) {
		return nil
	}
	stamp, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	if err := fill(stamp, op); err != nil {
		_ = os.RemoveAll(stamp)
		return err
	}
	tmp := filepath.Join(dir, newDataLink)
	_ = os.Remove(tmp)
	if err := os.Symlink(filepath.Base(stamp), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	res.Changed = true
	if err := linkVisible(dir, op.Files); err != nil {
		return err
	}
	if old != "" && !v.named[filepath.Join(dir, old)] {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

func fill(stamp string, op *wire.Op) error {
	if err := own(stamp, op.UID, op.GID, dirMode(0o755, op.GID)); err != nil {
		return err
	}
	for i := range op.Files {
		f := &op.Files[i]
		path := filepath.Join(stamp, filepath.Clean("/"+f.Path))
		if err := mkParents(stamp, filepath.Dir(path), op); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			return err
		}
		if err := own(path, f.UID, f.GID, f.Mode); err != nil {
			return err
		}
	}
	return nil
}

func mkParents(top, dir string, op *wire.Op) error {
	if dir == top {
		return nil
	}
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := mkParents(top, filepath.Dir(dir), op); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return own(dir, op.UID, op.GID, dirMode(0o755, op.GID))
}

// dirMode is the mode of a directory that an fsGroup owns: set-group-ID, and open to the group.
func dirMode(mode uint32, gid int64) uint32 {
	if gid == wire.Unset {
		return mode
	}
	return mode | 0o2550
}

// linkVisible makes the links a user sees and removes those whose file is gone.
func linkVisible(dir string, files []wire.File) error {
	want := map[string]bool{}
	for i := range files {
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Clean("/"+files[i].Path), "/"), "/")
		want[name] = true
	}
	names := make([]string, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		link, target := filepath.Join(dir, name), filepath.Join(dataLink, name)
		if got, err := os.Readlink(link); err == nil && got == target {
			continue
		}
		if err := os.Symlink(target, link); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "..") || want[name] || e.Type()&os.ModeSymlink == 0 {
			continue
		}
		if target, _ := os.Readlink(filepath.Join(dir, name)); strings.HasPrefix(target, dataLink+"/") {
			_ = os.Remove(filepath.Join(dir, name))
		}
	}
	return nil
}

// same reports whether dir holds exactly these files, with these contents and modes.
func same(dir string, files []wire.File) bool {
	for i := range files {
		path := filepath.Join(dir, filepath.Clean("/"+files[i].Path))
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || uint32(info.Mode().Perm()) != files[i].Mode&0o777 {
			return false
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(data, files[i].Data) {
			return false
		}
	}
	count := 0
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			count++
		}
		return err
	})
	return err == nil && count == len(files)
}
