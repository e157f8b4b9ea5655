package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// timed runs a command and returns how long the whole process took and what it wrote.
func (b *bench) timed(ctx context.Context, name string, args ...string) (time.Duration, string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = b.env()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	begin := time.Now()
	err := c.Run()
	took := time.Since(begin)
	if err != nil {
		return took, out.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return took, out.String(), nil
}

func (b *bench) skiff(ctx context.Context, args ...string) (string, error) {
	_, out, err := b.timed(ctx, b.bin, args...)
	return out, err
}

// start measures a start of a cluster that was stopped: what a developer does each morning.
func (b *bench) start(ctx context.Context) error {
	var api, apiInside, ready []time.Duration
	for range b.rounds {
		if _, err := b.skiff(ctx, "stop"); err != nil {
			return err
		}
		took, out, err := b.timed(ctx, b.bin, "start", "--wait=false")
		if err != nil {
			return err
		}
		api = append(api, took)
		if inside, ok := phase(out, "api"); ok {
			apiInside = append(apiInside, inside)
		}
		if _, err := b.skiff(ctx, "start"); err != nil { // wait for the rest of it
			return err
		}
		if _, err := b.skiff(ctx, "stop"); err != nil {
			return err
		}
		if took, _, err = b.timed(ctx, b.bin, "start"); err != nil {
			return err
		}
		ready = append(ready, took)
	}
	b.report.times("skiff start --wait=false, whole process", api, "aim ≤ 500 ms")
	if len(apiInside) > 0 {
		b.report.times("  daemon's start to the API's first write", apiInside, "aim ≤ 300 ms")
	}
	b.report.times("skiff start to DNS answering, whole process", ready, "aim ≤ 1500 ms")
	return nil
}

var phaseLine = regexp.MustCompile(`(?m)^✓ (\w+) .* ([\d.]+) (ms|s)$`)

// phase finds how long after the daemon's start a phase ended, in what `skiff start` printed.
func phase(out, name string) (time.Duration, bool) {
	for _, m := range phaseLine.FindAllStringSubmatch(out, -1) {
		if m[1] != name {
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return 0, false
		}
		unit := time.Millisecond
		if m[3] == "s" {
			unit = time.Second
		}
		return time.Duration(n * float64(unit)), true
	}
	return 0, false
}

// memory measures the daemon with ten pods that do nothing.
func (b *bench) memory(ctx context.Context) error {
	if err := b.deploy(ctx, "idle", 10); err != nil {
		return err
	}
	defer b.remove(context.WithoutCancel(ctx), "idle")
	if err := sleep(ctx, 10*time.Second); err != nil { // the start's memory is given back after three
		return err
	}
	if err := b.containerMemory(ctx); err != nil {
		return err
	}
	daemon, _, err := b.profile.ReadDaemon()
	if err != nil {
		return err
	}
	before, err := cpuTicks(daemon.PID)
	if err != nil {
		b.report.add("memory and idle CPU", "-", "only measured where /proc is: "+err.Error())
		return nil
	}
	if err := sleep(ctx, b.idle); err != nil {
		return err
	}
	after, err := cpuTicks(daemon.PID)
	if err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", daemon.PID))
	if err != nil {
		return err
	}
	rss, anonymous := kilobytes(status, "VmRSS"), kilobytes(status, "RssAnon")
	b.report.add("resident memory with 10 pods", fmt.Sprintf("%d MB", rss/1024), fmt.Sprintf("%d MB of it anonymous; aim ≤ 100 MB", anonymous/1024))
	const ticksPerSecond = 100 // USER_HZ, fixed on Linux
	percent := float64(after-before) / ticksPerSecond / b.idle.Seconds() * 100
	b.report.add("idle CPU with 10 pods", fmt.Sprintf("%.2f %%", percent), fmt.Sprintf("of one core, over %s; aim ≤ 0.2 %%", b.idle))
	return nil
}

// containerMemory measures what skiff's own containers take of the engine's machine, beside the pods'.
func (b *bench) containerMemory(ctx context.Context) error {
	for _, own := range []struct {
		role docker.Role
		name string
	}{{docker.RoleSandbox, "a pause container"}, {docker.RoleRelay, "the relay container"}} {
		containers, err := b.engine.ListContainers(ctx, docker.ListOptions{Labels: docker.ProfileLabels(b.profile.Name, own.role), RunningOnly: true})
		if err != nil {
			return err
		}
		var sizes []uint64
		for _, c := range containers {
			stats, err := b.engine.Stats(ctx, c.ID)
			if err != nil {
				return err
			}
			sizes = append(sizes, stats.MemoryWorkingSet)
		}
		if len(sizes) == 0 {
			return fmt.Errorf("there is not %s to measure", own.name)
		}
		slices.Sort(sizes)
		b.report.add("working set of "+own.name, fmt.Sprintf("%.1f MB", float64(sizes[len(sizes)/2])/(1<<20)), fmt.Sprintf("median of %d", len(sizes)))
	}
	return nil
}

// cpuTicks is the processor time a process has used so far: fields 14 and 15 of proc(5)'s stat.
func cpuTicks(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return user + system, err
}

func kilobytes(status []byte, field string) int64 {
	for _, line := range strings.Split(string(status), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field+":" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// cli compares the start-up of a mounted verb with the stock client's.
func (b *bench) cli(ctx context.Context) error {
	var ours, stock []time.Duration
	for range max(b.rounds, 15) {
		took, _, err := b.timed(ctx, b.bin, "get", "pods", "-A")
		if err != nil {
			return err
		}
		ours = append(ours, took)
		if b.kubectl == "" {
			continue
		}
		if took, _, err = b.timed(ctx, b.kubectl, "get", "pods", "-A"); err != nil {
			return err
		}
		stock = append(stock, took)
	}
	b.report.times("skiff get pods -A, whole process", ours, "")
	if len(stock) > 0 {
		b.report.times("kubectl get pods -A, whole process", stock, "")
		b.report.ratio("skiff get ÷ kubectl get", ours, stock, "aim ≤ 1.2")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
