// Package privateengine starts a Docker Engine that belongs to one test, for what must never be done to the engine that
// a machine shares: restart it, kill it, fill its disk, hide its containers' addresses from the host.
//
// The engine runs in network, mount and process namespaces of its own: its bridge and its packet filter don't touch the
// host, the addresses of its containers can't be dialled from the host (as with an engine in a virtual machine), and
// whatever it started ends with its first process. Its API listens on a socket in a temporary directory.
package privateengine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// patience bounds the start of an engine; on an idle machine it takes a second.
const patience = 90 * time.Second

// Options say how the engine differs from a plain one.
type Options struct {
	// DiskSize makes the engine's disk a file system in memory of this size, as tmpfs's size option has it ("96m").
	// Empty leaves it on the disk of the temporary directory.
	DiskSize string
	// Args are more arguments for dockerd.
	Args []string
}

// Engine is a running engine of the test's own.
type Engine struct {
	t      testing.TB
	dir    string
	args   []string
	holder *exec.Cmd // keeps the namespaces; process 1 in them reaps what the engine leaves
	init   int       // process 1, as the host numbers it
	daemon *exec.Cmd
}

// Start runs an engine until the test is over. It skips the test where namespaces can't be made: off Linux, without root,
// without dockerd, and under -short.
func Start(t testing.TB, opts Options) *Engine {
	t.Helper()
	if why := unavailable(); why != "" {
		t.Skipf("no private Docker Engine: %s", why)
	}
	// Not t.TempDir: a socket's path has at most 107 bytes, and what the engine leaves is removed after it ended.
	dir, err := os.MkdirTemp("", "engine-")
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{t: t, dir: dir}
	e.args = append([]string{
		"--data-root", e.path("data"), "--exec-root", e.path("exec"), "--pidfile", e.path("pid"), "--config-file", e.path("none.json"),
		"--host", e.Host(), "--cgroup-parent", "/" + filepath.Base(dir), "--exec-opt", "native.cgroupdriver=cgroupfs",
	}, opts.Args...)
	if err := os.WriteFile(e.path("none.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.cleanUp)
	e.makeNamespaces(opts.DiskSize)
	e.Up()
	return e
}

// unavailable says why a private engine can't run here, or nothing.
func unavailable() string {
	switch {
	case testing.Short():
		return "it starts containers"
	case runtime.GOOS != "linux":
		return "it needs Linux namespaces"
	case os.Geteuid() != 0:
		return "it needs root"
	}
	for _, tool := range []string{"dockerd", "unshare", "nsenter", "ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err.Error()
		}
	}
	if out, err := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("namespaces can't be made: %v: %s", err, out)
	}
	return ""
}

func (e *Engine) path(name string) string { return filepath.Join(e.dir, name) }

// Host is where the engine's API listens, as DOCKER_HOST takes it.
func (e *Engine) Host() string { return "unix://" + e.path("sock") }

// Connect reaches the engine.
func (e *Engine) Connect() *docker.Engine {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	engine, err := docker.Connect(ctx, docker.Options{Host: e.Host()})
	if err != nil {
		e.t.Fatalf("the private engine: %v\n%s", err, e.log())
	}
	e.t.Cleanup(func() { _ = engine.Close() })
	return engine
}

func (e *Engine) makeNamespaces(diskSize string) {
	e.t.Helper()
	// The shell reaps while it waits: processes whose parent died would look alive to the engine. It waits until its
	// standard input ends, so that a test binary that is killed takes its engine along.
	script := "exec 3<&0 && ip link set lo up && mkdir -p data && "
	if diskSize != "" {
		script += "mount -t tmpfs -o size=" + diskSize + " tmpfs data && "
	}
	script += "touch ready && { cat <&3 & wait; }"
	e.holder = exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script)
	e.holder.Dir = e.dir
	if _, err := e.holder.StdinPipe(); err != nil {
		e.t.Fatal(err)
	}
	var out bytes.Buffer
	e.holder.Stderr = &out
	if err := e.holder.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.wait("the namespaces", func() bool { _, err := os.Stat(e.path("ready")); return err == nil })
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", e.holder.Process.Pid))
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(children), &e.init); err != nil {
		e.t.Fatalf("find the namespaces' first process in %q: %v: %s", children, err, out.String())
	}
}

// inside is a command that runs in the engine's namespaces.
func (e *Engine) inside(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", fmt.Sprint(e.init), "--net", "--mount", "--pid"}, args...)...)
}

// Run runs a command in the engine's namespaces and returns what it printed.
func (e *Engine) Run(args ...string) string {
	e.t.Helper()
	out, err := e.inside(args...).CombinedOutput()
	if err != nil {
		e.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Data is the engine's data directory, in its own namespaces.
func (e *Engine) Data() string { return e.path("data") }

// Up starts the engine after Down or Kill, and waits until it answers.
func (e *Engine) Up() {
	e.t.Helper()
	log, err := os.OpenFile(e.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	e.daemon = e.inside(append([]string{"dockerd"}, e.args...)...)
	e.daemon.Stdout, e.daemon.Stderr = log, log
	if err := e.daemon.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.wait("the engine", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		engine, err := docker.Connect(ctx, docker.Options{Host: e.Host()})
		if err != nil {
			return false
		}
		_ = engine.Close()
		return true
	})
}

// Down stops the engine as a service manager does: it ends its containers and itself.
func (e *Engine) Down() { e.signal(syscall.SIGTERM) }

// Kill ends the engine without warning: its containers run on until it is up again.
func (e *Engine) Kill() { e.signal(syscall.SIGKILL) }

func (e *Engine) signal(s syscall.Signal) {
	e.t.Helper()
	pid, err := os.ReadFile(e.path("pid"))
	if err != nil {
		e.t.Fatal(err)
	}
	e.Run("kill", fmt.Sprintf("-%d", s), strings.TrimSpace(string(pid)))
	_ = e.daemon.Wait() // nsenter ends with the engine; its error is the signal
}

func (e *Engine) wait(what string, ok func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatalf("%s did not come up within %v\n%s", what, patience, e.log())
		}
	}
}

func (e *Engine) log() string {
	raw, _ := os.ReadFile(e.path("log"))
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// cleanUp ends everything in the namespaces, and removes what the engine left outside them: files and cgroups.
func (e *Engine) cleanUp() {
	if e.t.Failed() {
		e.t.Logf("the end of the private engine's log:\n%s", e.log())
	}
	if e.holder != nil && e.holder.Process != nil {
		_ = e.holder.Process.Kill() // takes process 1 along, and with it all others
		_ = e.holder.Wait()
	}
	if e.daemon != nil {
		_ = e.daemon.Wait()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := os.RemoveAll(e.dir)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			e.t.Errorf("remove the private engine's files: %v", err)
			break
		}
	}
	removeCgroups(filepath.Base(e.dir))
}

// removeCgroups removes the engine's cgroups, deepest first, in every hierarchy of cgroup v1 or in the only one of v2.
func removeCgroups(name string) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, root := range append(roots, "/sys/fs/cgroup/"+name) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = os.Remove(dirs[i])
		}
	}
}
