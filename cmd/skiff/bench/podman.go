package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

// podman compares one pod with the same pod of podman, which is an engine without a daemon. podman is given as two commands, pod
// create and run, and the Docker Engine as two of its own, taken in turn with skiff's.
func (b *bench) podman(ctx context.Context) error {
	ref, err := image.EnsureNode(ctx, b.engine)
	if err != nil {
		return err
	}
	peer, stop, err := startPodman(ctx, ref)
	defer stop()
	if err != nil {
		b.report.add("podman", "-", err.Error())
		return nil
	}
	var ours, theirs, dockers []time.Duration
	for i := range b.rounds + 1 {
		up, _, err := b.onePod(ctx, fmt.Sprintf("beside-podman-%d", i))
		if err != nil {
			return err
		}
		name := fmt.Sprintf("skiff-bench-%d-%d", os.Getpid(), i)
		podmans, err := inTurn(
			func() error { return peer(ctx, "pod", "create", "--name", name, "--hostname", name) },
			func() error { return peer(ctx, "run", "-d", "--pod", name, "--pull", "never", helloRef) },
		)
		if err != nil {
			return err
		}
		if err := peer(ctx, "pod", "rm", "-f", "-t", "0", name); err != nil {
			return err
		}
		commands, err := inTurn(
			func() error {
				return run(ctx, "docker", "run", "-d", "--name", name, "--hostname", name, "--network", docker.NetworkName(b.profile.Name), ref)
			},
			func() error {
				return run(ctx, "docker", "run", "-d", "--name", name+"-app", "--network", "container:"+name, helloRef)
			},
		)
		if cleanErr := run(ctx, "docker", "rm", "-f", name+"-app", name); err == nil {
			err = cleanErr
		}
		if err != nil {
			return err
		}
		if i == 0 {
			continue // warms all three
		}
		ours, theirs, dockers = append(ours, up), append(theirs, podmans), append(dockers, commands)
	}
	b.report.times("one pod, created to Running", ours, "")
	b.report.times("podman, pod create and run", theirs, "CNI, runc")
	b.report.times("docker, run twice", dockers, "")
	b.report.ratio("one pod ÷ podman's", ours, theirs, "")
	return nil
}

// startPodman gives podman a folder, a network and a mount namespace of its own, so that nothing of it reaches this machine, and
// loads the images. The rest of podman is looked for beside its program, as a package has it, installed or only unpacked.
func startPodman(ctx context.Context, images ...string) (peer func(context.Context, ...string) error, stop func(), err error) {
	stop = func() {}
	program, err := found("podman")
	if err != nil {
		return nil, stop, err
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(program)))
	dir, err := os.MkdirTemp("", "skiff-bench-podman-")
	if err != nil {
		return nil, stop, err
	}
	stop = func() { _ = os.RemoveAll(dir) }
	config := fmt.Sprintf(`[containers]
default_ulimits=["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager="cgroupfs"
events_logger="none"
runtime="runc"
conmon_path=[%q]
infra_image=%q
[network]
network_backend="cni"
cni_plugin_dirs=[%q]
network_config_dir=%q
`, filepath.Join(root, "usr/bin/conmon"), images[0], filepath.Join(root, "usr/lib/cni"), filepath.Join(root, "etc/cni/net.d"))
	policy, err := os.ReadFile(filepath.Join(root, "etc/containers/policy.json"))
	if err != nil {
		return nil, stop, err
	}
	home := filepath.Join(dir, ".config/containers")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, stop, err
	}
	for name, text := range map[string]string{"containers.conf": config, "policy.json": string(policy)} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			return nil, stop, err
		}
	}
	holder := exec.CommandContext(ctx, "unshare", "--net", "--mount", "sleep", "infinity")
	if err := holder.Start(); err != nil {
		return nil, stop, err
	}
	libraries, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	prefix := []string{
		"-t", strconv.Itoa(holder.Process.Pid), "-n", "-m", "env", "HOME=" + dir, "CONTAINERS_CONF=" + filepath.Join(home, "containers.conf"),
		"LD_LIBRARY_PATH=" + strings.Join(libraries, ":"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		program, "--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--log-level", "error",
	}
	peer = func(ctx context.Context, args ...string) error {
		return run(ctx, "nsenter", append(prefix, args...)...)
	}
	stop = func() {
		_ = peer(context.WithoutCancel(ctx), "pod", "rm", "-f", "-a", "-t", "0")
		_ = holder.Process.Kill()
		_ = holder.Wait()
		_ = os.RemoveAll(dir)
	}
	archive := filepath.Join(dir, "images.tar")
	if err := run(ctx, "docker", append([]string{"save", "-o", archive, helloRef}, images...)...); err != nil {
		return nil, stop, err
	}
	return peer, stop, peer(ctx, "load", "-q", "-i", archive)
}

// inTurn is how long the steps take, one after the other.
func inTurn(steps ...func() error) (time.Duration, error) {
	begin := time.Now()
	for _, step := range steps {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return time.Since(begin), nil
}

// run is a command that says why it failed.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, out)
	}
	return nil
}
