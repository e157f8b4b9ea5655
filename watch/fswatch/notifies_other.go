//go:build !linux

package fswatch

import (
	"path/filepath"
	"runtime"
	"strings"
)

// notifies reports whether changes in a directory are announced by the system. Windows announces none on network
// shares reliably; the BSDs and macOS watch the files themselves, wherever they lie.
func notifies(dir string) bool {
	return runtime.GOOS != "windows" || !strings.HasPrefix(filepath.VolumeName(dir), `\\`)
}

func limited(err error) error { return err }
