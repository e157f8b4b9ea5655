//go:build linux

package agent

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"

	"skiff.local/skiff/runtime/volume/wire"
)

// hostStat reads what a container sees of its machine: memory and processes aren't namespaced in /proc, and a volume lies
// on the file system that holds all of them.
func hostStat(op *wire.Op, res *wire.Result) error {
	var h wire.Host
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(meminfo) {
		name, value, _ := strings.Cut(string(line), ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "MemTotal":
			h.Memory = n << 10
		case "MemAvailable":
			h.MemoryFree = n << 10
		}
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(op.Path, &fs); err != nil {
		return err
	}
	h.Disk, h.DiskFree = int64(fs.Blocks)*int64(fs.Bsize), int64(fs.Bavail)*int64(fs.Bsize)
	h.Inodes, h.InodesFree = int64(fs.Files), int64(fs.Ffree)
	// The fourth field is running/existing, over the whole machine.
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		if fields := strings.Fields(string(load)); len(fields) > 3 {
			_, all, _ := strings.Cut(fields[3], "/")
			h.Processes, _ = strconv.ParseInt(all, 10, 64)
		}
	}
	if most, err := os.ReadFile("/proc/sys/kernel/pid_max"); err == nil {
		h.ProcessesMost, _ = strconv.ParseInt(strings.TrimSpace(string(most)), 10, 64)
	}
	res.Data = []byte(h.String())
	return nil
}
