package wire

import (
	"fmt"
	"strings"
)

// Host is what the machine of the engine has in all and left, as HostStat's Result.Data carries it.
type Host struct {
	Memory, MemoryFree       int64 // bytes; free is what can be had without swapping
	Disk, DiskFree           int64 // bytes, of the file system that holds volumes
	Inodes, InodesFree       int64
	Processes, ProcessesMost int64
}

func (h *Host) fields() []any {
	return []any{&h.Memory, &h.MemoryFree, &h.Disk, &h.DiskFree, &h.Inodes, &h.InodesFree, &h.Processes, &h.ProcessesMost}
}

// String is the form for the wire: the numbers in the order of the fields.
func (h Host) String() string {
	return fmt.Sprintf("%d %d %d %d %d %d %d %d", h.Memory, h.MemoryFree, h.Disk, h.DiskFree, h.Inodes, h.InodesFree, h.Processes, h.ProcessesMost)
}

// ParseHost reads what String wrote.
func ParseHost(s string) (Host, error) {
	var h Host
	if _, err := fmt.Fscan(strings.NewReader(s), h.fields()...); err != nil {
		return Host{}, fmt.Errorf("read the host's resources: %w", err)
	}
	return h, nil
}
