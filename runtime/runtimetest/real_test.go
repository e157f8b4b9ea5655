package runtimetest

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"skiff.local/skiff/runtime/docker"
)

// TestSpecsReachTheProcess checks on the real engine that what a spec says is what a process finds.
func TestSpecsReachTheProcess(t *testing.T) {
	eng := Connect(t)
	s := &suite{eng: eng, image: ProgImage(t, eng)}
	look := func(t *testing.T, spec docker.ContainerSpec, paths ...string) string {
		t.Helper()
		for i, p := range paths {
			if i > 0 {
				spec.Cmd = append(spec.Cmd, ",")
			}
			spec.Cmd = append(spec.Cmd, "cat", p)
		}
		id, code := s.finish(t, spec)
		out, errs := s.logs(t, id, docker.LogOptions{})
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		return out
	}
	status, limits, mounts := "/proc/self/status", "/proc/self/limits", "/proc/self/mountinfo"
	for name, c := range map[string]struct {
		change func(*docker.ContainerSpec)
		paths  []string
		want   []string // regular expressions
		never  []string
	}{
		"seccomp is on by default": {nil, []string{status}, []string{`(?m)^Seccomp:\s+2$`, `(?m)^NoNewPrivs:\s+0$`}, nil},
		"it is off only on request": {
			func(s *docker.ContainerSpec) { s.Security.Seccomp = "unconfined" }, []string{status}, []string{`(?m)^Seccomp:\s+0$`}, nil,
		},
		"a profile of one's own": {
			func(s *docker.ContainerSpec) { s.Security.Seccomp = `{"defaultAction":"SCMP_ACT_ALLOW"}` }, []string{status}, []string{`(?m)^Seccomp:\s+[02]$`}, nil,
		},
		"user and groups": {
			func(s *docker.ContainerSpec) { s.User, s.Groups = "1000:2000", []string{"3000", "4000"} },
			[]string{status}, []string{`(?m)^Uid:\s+1000\s`, `(?m)^Gid:\s+2000\s`, `(?m)^Groups:\s.*3000 4000`}, nil,
		},
		"no capabilities, no new privileges": {
			func(s *docker.ContainerSpec) { s.CapDrop, s.Security.NoNewPrivileges = []string{"ALL"}, true },
			[]string{status}, []string{`(?m)^CapEff:\s+0+$`, `(?m)^CapBnd:\s+0+$`, `(?m)^NoNewPrivs:\s+1$`}, nil,
		},
		"one capability": {
			func(s *docker.ContainerSpec) { s.CapDrop, s.CapAdd = []string{"ALL"}, []string{"NET_BIND_SERVICE"} },
			[]string{status}, []string{`(?m)^CapEff:\s+0+400$`}, nil,
		},
		"limits and score": {
			func(s *docker.ContainerSpec) {
				s.Ulimits, s.OOMScoreAdj = []docker.Ulimit{{Name: "nofile", Soft: 111, Hard: 222}}, 777
			}, []string{limits, "/proc/self/oom_score_adj"}, []string{ // the soft limit is raised by Go itself
				`Max open files\s+\d+\s+222`, `(?m)^777$`,
			}, nil,
		},
		"names": {
			func(s *docker.ContainerSpec) {
				s.Network, s.Hostname, s.ExtraHosts = "bridge", "web-0", []string{"db:10.9.8.7"}
				s.DNS = docker.DNSConfig{Servers: []string{"10.0.0.10"}, Searches: []string{"svc.cluster.local"}, Options: []string{"ndots:5"}}
			}, []string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc/sys/kernel/hostname"},
			[]string{`(?m)^web-0$`, `10\.9\.8\.7\s+db`, `nameserver 10\.0\.0\.10`, `search svc\.cluster\.local`, `options ndots:5`}, nil,
		},
		"sysctls": {
			func(s *docker.ContainerSpec) {
				s.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "77"}
			},
			[]string{"/proc/sys/net/ipv4/ip_unprivileged_port_start"}, []string{`(?m)^77$`}, nil,
		},
		"mounts": {
			func(s *docker.ContainerSpec) {
				s.ReadonlyRootfs, s.ShmSize = true, 8<<20
				s.Mounts = []docker.Mount{
					{Type: docker.MountTmpfs, Target: "/scratch", TmpfsSize: 4 << 20, TmpfsMode: 0o1770},
					{Type: docker.MountBind, Source: "/sys", Target: "/host-sys", ReadOnly: true, Propagation: "rprivate"},
				}
			}, []string{mounts}, []string{` / / ro,`, ` /scratch .*tmpfs.*size=4096k.*mode=1770`, ` /dev/shm .*size=8192k`, ` /host-sys ro`}, nil,
		},
		"proc is masked": {nil, []string{mounts}, []string{` /proc/keys `, ` /proc/sys ro`}, nil},
		"and unmasked on request": {
			func(s *docker.ContainerSpec) { s.Security.UnmaskedProc = true }, []string{mounts}, nil, []string{` /proc/keys `, ` /proc/sys ro`},
		},
		"the command is pid 1": {func(s *docker.ContainerSpec) { s.Init = false }, []string{status}, []string{`(?m)^Pid:\s+1$`}, nil},
		"unless init is":       {func(s *docker.ContainerSpec) { s.Init = true }, []string{status}, nil, []string{`(?m)^Pid:\s+1$`}},
		"cgroup parents": {
			func(s *docker.ContainerSpec) { s.Resources.CgroupParent, s.CgroupNS = "/t-engine", "host" },
			[]string{"/proc/self/cgroup"}, []string{`/t-engine/`}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.spec()
			if c.change != nil {
				c.change(&spec)
			}
			if strings.Contains(name, "cgroup") {
				info, err := eng.Info(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !info.HasCgroups() {
					t.Skip("the engine runs without cgroups")
				}
				if info.CgroupDriver != "cgroupfs" {
					spec.Resources.CgroupParent = "t-engine.slice"
				}
			}
			out := look(t, spec, c.paths...)
			for _, want := range c.want {
				if !regexp.MustCompile(want).MatchString(strings.ReplaceAll(out, ".slice", "")) {
					t.Errorf("nothing matches %s in:\n%s", want, out)
				}
			}
			for _, never := range c.never {
				if regexp.MustCompile(never).MatchString(out) {
					t.Errorf("something matches %s in:\n%s", never, out)
				}
			}
		})
	}
	t.Run("a pod's namespaces are shared", func(t *testing.T) {
		sandbox := s.spec("sleep")
		sandbox.IPC = "shareable"
		owner := s.start(t, sandbox)
		member := s.spec("sleep")
		member.Network, member.IPC, member.PID = docker.ContainerMode(owner), docker.ContainerMode(owner), docker.ContainerMode(owner)
		id := s.start(t, member)
		var out buffer
		// In the shared pid namespace the sandbox is pid 1.
		code, err := eng.Exec(within(t), id, docker.ExecSpec{Cmd: steps("cat", "/proc/1/cmdline")}, docker.Streams{Stdout: &out})
		if err != nil || code != 0 || !strings.Contains(out.String(), "sleep") {
			t.Errorf("%v, %d, %q", err, code, out.String())
		}
		if c := s.inspect(t, id); c.NetworkMode != docker.ContainerMode(owner) || c.PIDMode != docker.ContainerMode(owner) || c.IPCMode != docker.ContainerMode(owner) {
			t.Errorf("modes %q, %q, %q", c.NetworkMode, c.PIDMode, c.IPCMode)
		}
	})
	t.Run("a published port is bound on the host", func(t *testing.T) {
		spec := s.spec("sleep")
		spec.Network = "bridge"
		spec.Ports = []docker.PortBinding{{ContainerPort: 80, HostIP: netip.MustParseAddr("127.0.0.1")}}
		s.start(t, spec)
	})
	t.Run("usage is sampled", func(t *testing.T) {
		id := s.start(t, s.spec("sleep"))
		stats, err := eng.Stats(t.Context(), id)
		if !s.hasCgroups(t) {
			if !errors.Is(err, docker.ErrUnsupported) {
				t.Errorf("an engine without cgroups answers with somebody else's usage: %+v, %v", stats, err)
			}
			return
		}
		if err != nil || stats.CPUNanos == 0 || stats.MemoryUsage == 0 || stats.Pids == 0 || stats.Read.IsZero() || stats.MemoryWorkingSet > stats.MemoryUsage {
			t.Errorf("%+v, %v", stats, err)
		}
	})
	t.Run("the engine describes itself", func(t *testing.T) {
		info, err := eng.Info(t.Context())
		if err != nil || info.CPUs == 0 || info.Memory == 0 || info.OSType != "linux" || info.CgroupVersion == 0 || info.Architecture == "x86_64" || info.ServerVersion == "" {
			t.Errorf("%+v, %v", info, err)
		}
		if _, err := eng.DiskUsage(t.Context()); err != nil {
			t.Error(err)
		}
		if err := eng.Ping(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	t.Run("memory that runs out is reported", func(t *testing.T) {
		if !s.hasCgroups(t) {
			t.Skip("the engine runs without cgroups")
		}
		// A busy engine that still deals with the start misses what happens to the process: it goes on when told to.
		spec := s.spec("cat", ",", "hog", "100000000", ",", "sleep")
		spec.Stdin, spec.StdinOnce = true, true
		spec.Resources = docker.Resources{Memory: 32 << 20, MemorySwap: 32 << 20}
		id := s.start(t, spec)
		if err := eng.Attach(t.Context(), id, docker.Streams{Stdin: strings.NewReader("go"), Stdout: io.Discard}); err != nil {
			t.Fatal(err)
		}
		code, err := eng.WaitContainer(t.Context(), id, docker.WaitNotRunning)
		if err != nil {
			t.Fatal(err)
		}
		if state := s.inspect(t, id).State; !state.OOMKilled || code != 137 {
			t.Errorf("code %d, state %+v", code, state)
		}
	})
}
