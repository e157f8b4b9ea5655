//go:build !linux

package daemon

// dropExecutablePages does nothing where the system manages such pages well enough by itself.
func dropExecutablePages() error { return nil }

// residentMemory is not read on this system.
func residentMemory() uint64 { return 0 }
