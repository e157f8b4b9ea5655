//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// kill ends a command that was started in a container and outlived its time. It runs in the container's pid namespace
// (with --marker: every process whose environment has the marker, and their descendants) or in the engine host's (with
// --pid: that process and its descendants, if its cgroup is --container's). It exits 0 when none of them is left.
func kill(args []string) int {
	flags := flag.NewFlagSet("kill", flag.ContinueOnError)
	marker := flags.String("marker", "", "kill the processes with this value of SKIFF_EXEC_ID in their environment")
	pid := flags.Int("pid", 0, "kill this process")
	container := flags.String("container", "", "with --pid: the id of the container that the process has to be in")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if (*marker == "") == (*pid == 0) || (*pid == 0) != (*container == "") {
		fmt.Fprintln(os.Stderr, "kill: either --marker, or --pid and --container")
		return 2
	}
	chosen := func(p int) bool { return p == *pid && inContainer("/proc", p, *container) }
	if *marker != "" {
		variable := []byte("SKIFF_EXEC_ID=" + *marker)
		chosen = func(p int) bool { return hasVariable("/proc", p, variable) }
	}
	// A process can fork between being listed and being killed: look again until there is nothing to kill. Zombies
	// that nobody reaps don't count, they have ended.
	const attempts, pause = 50, 10 * time.Millisecond
	left := 0
	for range attempts {
		table := processes("/proc")
		targets := withDescendants(table, chosen)
		left = 0
		for _, p := range targets {
			// Never the namespace's first process, nor this one.
			if p == 1 || p == os.Getpid() {
				continue
			}
			left++
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
		if left == 0 {
			return 0
		}
		time.Sleep(pause)
	}
	fmt.Fprintf(os.Stderr, "kill: %d processes are still there\n", left)
	return 1
}

// process is what the process table says about one process.
type process struct{ pid, parent int }

// processes reads the process table, zombies left out.
func processes(proc string) []process {
	entries, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	table := make([]process, 0, len(entries))
	for _, path := range entries {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if p, state, ok := parseStat(data); ok && state != 'Z' && state != 'X' {
			table = append(table, p)
		}
	}
	return table
}

// parseStat reads pid, state and parent from /proc/PID/stat. The command's name, in parentheses, may itself contain
// spaces and parentheses: the last one counts.
func parseStat(data []byte) (process, byte, bool) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return process{}, 0, false
	}
	fields := bytes.Fields(data[end+1:])
	if len(fields) < 2 || len(fields[0]) != 1 {
		return process{}, 0, false
	}
	pid, errPid := strconv.Atoi(string(bytes.TrimSpace(data[:open])))
	parent, errParent := strconv.Atoi(string(fields[1]))
	return process{pid, parent}, fields[0][0], errPid == nil && errParent == nil
}

// withDescendants returns the chosen processes and everything below them.
func withDescendants(table []process, chosen func(int) bool) []int {
	children := map[int][]int{}
	var out []int
	for _, p := range table {
		children[p.parent] = append(children[p.parent], p.pid)
		if chosen(p.pid) {
			out = append(out, p.pid)
		}
	}
	seen := map[int]bool{}
	for i := 0; i < len(out); i++ {
		if seen[out[i]] {
			continue
		}
		seen[out[i]] = true
		out = append(out, children[out[i]]...)
	}
	unique := out[:0]
	for _, pid := range out {
		if seen[pid] {
			seen[pid] = false
			unique = append(unique, pid)
		}
	}
	return unique
}

// inContainer reports whether a process is in a container: its id is in the name of the process's cgroup, whatever the
// cgroup's version and driver.
func inContainer(proc string, pid int, container string) bool {
	data, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	return err == nil && bytes.Contains(data, []byte(container))
}

// hasVariable reports whether a process was started with exactly this variable in its environment.
func hasVariable(proc string, pid int, variable []byte) bool {
	data, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	for _, v := range bytes.Split(data, []byte{0}) {
		if bytes.Equal(v, variable) {
			return true
		}
	}
	return false
}
