//go:build linux

package agent

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"skiff.local/skiff/runtime/volume/wire"
)

// mkdir never follows a link out of Root: the pod's containers can put any link into their volumes.
func mkdir(op *wire.Op) error {
	root, err := os.OpenRoot(op.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	path := strings.TrimPrefix(filepath.Clean("/"+op.Path), "/")
	if path == "" {
		return nil
	}
	if _, err := root.Stat(path); err == nil {
		return nil
	}
	top, err := root.Stat(".")
	if err != nil {
		return err
	}
	if err := root.MkdirAll(path, top.Mode().Perm()); err != nil {
		return err
	}
	return root.Chmod(path, top.Mode()&(fs.ModePerm|fs.ModeSetgid|fs.ModeSticky)) // without what the umask took
}

// touch leaves a file that is there as it is: on the engine's host it is somebody's.
func touch(op *wire.Op) error {
	if err := os.MkdirAll(filepath.Dir(op.Path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(op.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return syscall.Fchmod(int(f.Fd()), op.Mode&0o7777)
}

func write(op *wire.Op, how int) error {
	f, err := os.OpenFile(op.Path, os.O_WRONLY|os.O_CREATE|how, fs.FileMode(op.Mode&0o777))
	if err != nil {
		return err
	}
	if _, err := f.Write(op.Data); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func readTail(op *wire.Op, res *wire.Result) error {
	f, err := openBelow(op.Root, op.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if op.Limit > 0 && info.Size() > op.Limit {
		if _, err := f.Seek(-op.Limit, io.SeekEnd); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, wire.MaxFrame/4))
	res.Data = data
	return err
}

func openBelow(top, path string) (*os.File, error) {
	if top == "" {
		return os.Open(path)
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(strings.TrimPrefix(filepath.Clean("/"+path), "/"))
}

// usage counts blocks, not lengths: sparse files cost what they occupy, as with du. It stays on Path's file system.
func empty(op *wire.Op) error {
	entries, err := os.ReadDir(op.Path)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(op.Path, e.Name())))
	}
	return err
}

func usage(op *wire.Op, res *wire.Result) error {
	var top syscall.Stat_t
	if err := syscall.Lstat(op.Path, &top); err != nil {
		return err
	}
	seen := map[uint64]bool{}
	return filepath.WalkDir(op.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it went away while we looked
			}
			return err
		}
		var st syscall.Stat_t
		if syscall.Lstat(path, &st) != nil {
			return nil
		}
		if st.Dev != top.Dev {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if st.Nlink > 1 && !d.IsDir() {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		res.Bytes += st.Blocks * 512
		res.Inodes++
		return nil
	})
}

func stat(op *wire.Op, res *wire.Result) error {
	info, err := os.Stat(op.Path)
	if errors.Is(err, fs.ErrNotExist) {
		res.Data = []byte(wire.IsMissing)
		return nil
	}
	if err != nil {
		return err
	}
	kind := wire.IsOther
	switch mode := info.Mode(); {
	case mode.IsDir():
		kind = wire.IsDirectory
	case mode.IsRegular():
		kind = wire.IsFile
	case mode&os.ModeSocket != 0:
		kind = wire.IsSocket
	case mode&os.ModeCharDevice != 0:
		kind = wire.IsCharDevice
	case mode&os.ModeDevice != 0:
		kind = wire.IsBlockDevice
	}
	res.Data = []byte(kind)
	res.Bytes = info.Size()
	return nil
}

// resolve follows every link of Path and says where it ends below Root, so that the node can name that place to the engine
// without the engine following a link that a container made.
func (v *volumes) resolve(op *wire.Op, res *wire.Result) error {
	root, err := filepath.EvalSymlinks(op.Root)
	if err != nil {
		return err
	}
	full, err := filepath.EvalSymlinks(filepath.Join(root, filepath.Clean("/"+op.Path)))
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, full)
	if err != nil {
		return err
	}
	if rel == ".." || strings.HasPrefix(rel, "../") {
		return errors.New("leads out of the volume")
	}
	if top, _, _ := strings.Cut(rel, "/"); strings.HasPrefix(top, "..") {
		if v.named == nil {
			v.named = map[string]bool{}
		}
		v.named[filepath.Join(root, top)] = true
	}
	res.Data = []byte(rel)
	return nil
}
