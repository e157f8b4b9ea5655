//go:build !linux

package memory

// dropExecutablePages does nothing where the system manages such pages well enough by itself.
func dropExecutablePages() error { return nil }

// Resident is not read on this system.
func Resident() uint64 { return 0 }
