//go:build linux

package agent

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"skiff.local/skiff/runtime/volume/wire"
)

// The bits that Kubernetes adds for an fsGroup: what is in the volume becomes readable and writable for the group, its
// directories also searchable, and new files inherit the group.
const (
	groupFile = 0o660
	groupDir  = 0o2770
)

func own(path string, uid, gid int64, mode uint32) error {
	if uid != wire.Unset || gid != wire.Unset {
		if err := os.Lchown(path, int(uid), int(gid)); err != nil {
			return err
		}
	}
	// syscall.Chmod takes the set-group-ID bit as the kernel writes it, os.Chmod does not.
	return syscall.Chmod(path, mode&0o7777)
}

func prepare(op *wire.Op, res *wire.Result) error {
	var st syscall.Stat_t
	if err := syscall.Stat(op.Path, &st); err != nil {
		return err
	}
	if op.Recursive && op.GID != wire.Unset {
		match := int64(st.Gid) == op.GID && st.Mode&groupDir == groupDir
		if op.OnMismatch && match {
			return nil
		}
		res.Changed = true
		return giveToGroup(op.Path, int(op.GID))
	}
	mode := st.Mode & 0o7777
	if op.Mode != 0 {
		mode = op.Mode
	}
	return own(op.Path, op.UID, op.GID, mode)
}

// giveToGroup does what Kubernetes' SetVolumeOwnership does, the top last, so that an interrupted run is repeated.
func giveToGroup(top string, gid int) error {
	give := func(path string, info fs.FileInfo) error {
		if err := os.Lchown(path, -1, gid); err != nil {
			return err
		}
		if info.Mode()&os.ModeSymlink != 0 {
			return nil
		}
		bits := uint32(groupFile)
		if info.IsDir() {
			bits = groupDir
		}
		mode := uint32(info.Mode().Perm())
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			mode = st.Mode & 0o7777
		}
		return syscall.Chmod(path, mode|bits)
	}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return give(path, info)
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(top)
	if err != nil {
		return err
	}
	return give(top, info)
}
