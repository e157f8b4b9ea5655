package docker

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everything is a spec that uses every field.
func everything() ContainerSpec {
	return ContainerSpec{
		Name: "c", Image: "app:1", Entrypoint: []string{"/run"}, Cmd: []string{"-x"}, Env: []string{"A=b"}, WorkingDir: "/w",
		User: "1000:2000", Groups: []string{"3000"}, Labels: map[string]string{"l": "v"}, Annotations: map[string]string{"a": "v"},
		TTY: true, Stdin: true, StdinOnce: true, StopSignal: "SIGQUIT",
		Network: "net", Endpoint: Endpoint{IPv4: netip.MustParseAddr("10.0.0.9"), MAC: "02:42:0a:00:00:09", Aliases: []string{"web"}},
		Ports:    []PortBinding{{ContainerPort: 80, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8080}, {ContainerPort: 53, Protocol: "UDP"}},
		Hostname: "h", Domainname: "d", DNS: DNSConfig{Servers: []string{"10.0.0.10"}, Searches: []string{"svc"}, Options: []string{"ndots:5"}},
		ExtraHosts: []string{"db:10.0.0.1"}, IPC: "shareable", PID: "container:p", UTS: "host", UserNS: "host", CgroupNS: "private",
		Sysctls: map[string]string{"net.core.somaxconn": "1024"}, ShmSize: 64 << 20, OOMScoreAdj: -998,
		Privileged: true, ReadonlyRootfs: true, CapAdd: []string{"net_admin"}, CapDrop: []string{"ALL"},
		Security: SecurityOptions{
			Seccomp: "unconfined", AppArmor: "docker-default", NoNewPrivileges: true, SELinuxUser: "u", SELinuxRole: "r",
			SELinuxType: "t", SELinuxLevel: "s0:c1,c2", UnmaskedProc: true, Extra: []string{"x=y"},
		},
		Devices:        []Device{{HostPath: "/dev/fuse"}, {HostPath: "/dev/a", ContainerPath: "/dev/b", Permissions: "r"}},
		DeviceRequests: []DeviceRequest{{Driver: "nvidia", Count: -1, Capabilities: [][]string{{"gpu"}}}},
		Ulimits:        []Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}}, StorageOpt: map[string]string{"size": "1G"}, Runtime: "runc",
		Resources: Resources{
			CPUShares: 512, CPUPeriod: 100000, CPUQuota: 50000, CpusetCPUs: "0-1", CpusetMems: "0", Memory: 1 << 28, MemorySwap: 1 << 28,
			MemoryReserve: 1 << 27, PidsLimit: 100, CgroupParent: "/skiff", BlkioWeight: 500,
		},
		Mounts: []Mount{
			{Type: MountVolume, Source: "v", Target: "/v", ReadOnly: true, NoCopy: true, Subpath: "s"},
			{Type: MountBind, Source: "/h", Target: "/b", Propagation: "rslave"},
			{Type: MountBind, Source: "/made", Target: "/m", CreateSource: true, ReadOnly: true, Propagation: "rshared"},
			{Type: MountTmpfs, Target: "/t", TmpfsSize: 1 << 20, TmpfsMode: 0o1777, TmpfsOptions: []string{"exec", "uid=5"}},
			{Type: MountImage, Source: "img", Target: "/i", Subpath: "p"},
			{Type: MountBind, Source: "/r", Target: "/rr", RecursiveReadOnly: true},
		},
	}
}

func TestSpecsAreTranslatedInFull(t *testing.T) {
	for name, spec := range map[string]ContainerSpec{"everything": everything(), "nothing": {Image: "app:1"}} {
		config, host, network, err := translateSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(map[string]any{"Config": config, "HostConfig": host, "NetworkingConfig": network}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		path := "testdata/" + name + ".json"
		if *update {
			if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("%s differs from %s (go test ./runtime/docker -run TestSpecs -update writes it anew):\n%s", name, path, diff)
		}
	}
}

func TestSpecsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, spec := range map[string]ContainerSpec{
		"a mount of no type":        {Mounts: []Mount{{Target: "/x"}}},
		"a colon in a created path": {Mounts: []Mount{{Type: MountBind, Source: "/a:b", Target: "/x", CreateSource: true}}},
		"an unknown protocol":       {Ports: []PortBinding{{ContainerPort: 1, Protocol: "a b"}}},
	} {
		if _, _, _, err := translateSpec(spec); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, bad := range []string{"linux", "linux/", "/amd64", "a/b/c/d"} {
		if p, err := parsePlatform(bad); err == nil {
			t.Errorf("platform %q was read as %v", bad, p)
		}
	}
}

func TestAnEmptyEntrypointIsNotTheImages(t *testing.T) {
	if got := translateEntrypoint(nil); got != nil {
		t.Errorf("nil became %q", got)
	}
	if got := translateEntrypoint([]string{}); len(got) != 1 || got[0] != "" {
		t.Errorf("empty became %q", got)
	}
}
