package fswatch

import (
	"errors"

	"golang.org/x/sys/unix"
)

// limited names the limit behind inotify's errors (inotify_init(2), inotify_add_watch(2)), which say something else: that
// a device has no space, that too many files are open.
func limited(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return &LimitError{"fs.inotify.max_user_watches"}
	case errors.Is(err, unix.EMFILE):
		return &LimitError{"fs.inotify.max_user_instances"}
	}
	return err
}

// notifies reports whether changes in a directory are announced by the kernel.
func notifies(dir string) bool {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return true
	}
	return !silent(int64(stat.Type) & 0xffffffff)
}

// silent knows the magic numbers (statfs(2)) of file systems whose changes may be made elsewhere and are then not
// announced here.
func silent(magic int64) bool {
	switch magic {
	case 0x6969, // NFS
		0x517b, 0xff534d42, 0xfe534d42, // SMB, CIFS, SMB2
		0x5346414f, // AFS
		0x00c36400, // Ceph
		0x01021997, // 9p: WSL's view of Windows' drives, shares of virtual machines
		0x786f4256, // VirtualBox
		0x65735546: // FUSE: depends on the server; sshfs and Docker Desktop's shares announce nothing
		return true
	}
	return false
}
