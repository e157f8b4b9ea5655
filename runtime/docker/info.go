package docker

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
)

// Ping asks the engine for a sign of life.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.cli.Ping(ctx)
	return e.convert(err, "reach the Docker Engine at", e.host)
}

// Info describes the engine and its host. It takes the engine some milliseconds: ask once and keep the answer.
func (e *Engine) Info(ctx context.Context) (*EngineInfo, error) {
	info, err := e.cli.Info(ctx)
	if err != nil {
		return nil, e.convert(err, "describe the Docker Engine at", e.host)
	}
	out := &EngineInfo{
		ID: info.ID, Name: info.Name, ServerVersion: info.ServerVersion, OSType: info.OSType,
		OperatingSystem: info.OperatingSystem, Architecture: goArchitecture(info.Architecture), KernelVersion: info.KernelVersion,
		CPUs: info.NCPU, Memory: info.MemTotal, RootDir: info.DockerRootDir, StorageDriver: info.Driver,
		LoggingDriver: info.LoggingDriver, CgroupDriver: info.CgroupDriver, DefaultRuntime: info.DefaultRuntime,
		SwapLimit: info.SwapLimit, PidsLimit: info.PidsLimit, CPUQuota: info.CPUCfsQuota, CPUShares: info.CPUShares, MemoryLimit: info.MemoryLimit,
		LiveRestore: info.LiveRestoreEnabled, Warnings: info.Warnings, Runtimes: sortedKeys(info.Runtimes),
	}
	out.Time, _ = time.Parse(time.RFC3339Nano, info.SystemTime)
	out.CgroupVersion, _ = strconv.Atoi(info.CgroupVersion)
	for _, option := range info.SecurityOptions {
		// "name=seccomp,profile=default", or the bare name from old engines.
		name, _, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		switch name {
		case "seccomp":
			out.Seccomp = true
		case "apparmor":
			out.AppArmor = true
		case "selinux":
			out.SELinux = true
		case "rootless":
			out.Rootless = true
		case "userns":
			out.UserNSRemap = true
		}
	}
	if info.RegistryConfig != nil {
		out.RegistryMirrors = slices.Clone(info.RegistryConfig.Mirrors)
	}
	return out, nil
}

// goArchitecture turns the kernel's name of an architecture, which engines report, into Go's, which nodes report.
func goArchitecture(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "armv7l", "armv6l":
		return "arm"
	case "i386", "i686":
		return "386"
	}
	return machine
}

// Stats takes one sample of a running container's usage. It does not wait for a second one, as `docker stats` does. An engine
// without cgroups is ErrUnsupported: it answers with the usage of the whole machine.
func (e *Engine) Stats(ctx context.Context, id string) (*Stats, error) {
	const op = "read the usage of container"
	if counts, err := e.CountsUsage(ctx); err != nil {
		return nil, err
	} else if !counts {
		return nil, &Error{
			Op: op, Object: id, Kind: ErrUnsupported, Text: "the Docker Engine runs without cgroups, so nobody counts what a container uses",
			Advice: "a rootless engine has cgroups on a machine with cgroup v2 and systemd",
		}
	}
	resp, err := e.cli.ContainerStatsOneShot(ctx, id)
	if err != nil {
		return nil, e.convert(err, op, id)
	}
	defer func() { _ = resp.Body.Close() }()
	var raw container.StatsResponse
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil {
		return nil, e.convert(err, op, id)
	}
	return statsFrom(&raw), nil
}

// CountsUsage reports whether the engine knows what containers use, for which they have to have cgroups. It is asked until it has
// answered once.
func (e *Engine) CountsUsage(ctx context.Context) (bool, error) {
	if known := e.counts.Load(); known != nil {
		return *known, nil
	}
	info, err := e.Info(ctx)
	if err != nil {
		return false, err
	}
	has := info.HasCgroups()
	e.counts.Store(&has)
	return has, nil
}

func statsFrom(raw *container.StatsResponse) *Stats {
	memory := raw.MemoryStats.Stats
	out := &Stats{
		Read:              raw.Read,
		CPUNanos:          raw.CPUStats.CPUUsage.TotalUsage,
		CPUThrottledNanos: raw.CPUStats.ThrottlingData.ThrottledTime,
		MemoryUsage:       raw.MemoryStats.Usage,
		MemoryLimit:       raw.MemoryStats.Limit,
		// cgroup v1 has hierarchical totals beside the plain values; v2 is hierarchical throughout.
		MemoryRSS:       firstOf(memory, "total_rss", "anon"),
		PageFaults:      firstOf(memory, "total_pgfault", "pgfault"),
		MajorPageFaults: firstOf(memory, "total_pgmajfault", "pgmajfault"),
		Pids:            raw.PidsStats.Current,
		Networks:        make(map[string]NetworkStats, len(raw.Networks)),
	}
	if inactive := firstOf(memory, "total_inactive_file", "inactive_file"); inactive < out.MemoryUsage {
		out.MemoryWorkingSet = out.MemoryUsage - inactive
	}
	for name, n := range raw.Networks {
		out.Networks[name] = NetworkStats{RxBytes: n.RxBytes, RxErrors: n.RxErrors, TxBytes: n.TxBytes, TxErrors: n.TxErrors}
	}
	for _, b := range raw.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(b.Op) { // "Read" on cgroup v1, "read" on v2
		case "read":
			out.BlockReadBytes += b.Value
		case "write":
			out.BlockWriteBytes += b.Value
		}
	}
	return out
}

func firstOf(m map[string]uint64, keys ...string) uint64 {
	for _, k := range keys {
		if v, ok := m[k]; ok {
			return v
		}
	}
	return 0
}

// DiskUsage measures what the engine's objects occupy. The engine walks file systems for it: seconds, not milliseconds.
func (e *Engine) DiskUsage(ctx context.Context) (*DiskUsage, error) {
	usage, err := e.cli.DiskUsage(ctx, types.DiskUsageOptions{})
	if err != nil {
		return nil, e.convert(err, "measure the disk usage of", e.host)
	}
	out := &DiskUsage{Images: usage.LayersSize, Containers: map[string]int64{}, Volumes: map[string]int64{}}
	for _, c := range usage.Containers {
		out.Containers[c.ID] = c.SizeRw
	}
	for _, v := range usage.Volumes {
		if v.UsageData != nil {
			out.Volumes[v.Name] = v.UsageData.Size
		}
	}
	return out, nil
}
