//go:build !linux

package journal

import "os"

// syncData makes the file's content durable (on darwin Sync is F_FULLFSYNC, which empties the drive's cache too).
func syncData(f *os.File) error { return f.Sync() }
