package node

import (
	"context"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/runtime/docker"
)

// TestSandboxing looks from inside at what a pod asks for its namespaces and its processes.
func TestSandboxing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	numeric, named := c.newImage("numeric", nil, "USER 1000:2000"), c.newImage("named", nil, "USER app")
	c.run()
	yes, no, uid, gid := true, false, int64(1000), int64(3000)
	seccomp := func(kind v1.SeccompProfileType) *v1.SeccompProfile {
		path := "profiles/x.json"
		if kind != v1.SeccompProfileTypeLocalhost {
			return &v1.SeccompProfile{Type: kind}
		}
		return &v1.SeccompProfile{Type: kind, LocalhostProfile: &path}
	}
	const inStatus = "cat /proc/1/status"
	always := v1.ContainerRestartPolicyAlways
	tests := []struct {
		name string
		make func(*v1.Pod)
		// what commands in containers print: "container: command" to text
		shows map[string]string
		// refused is the message of a CreateContainerConfigError.
		refused string
	}{
		// Absent never means unconfined, for no kind of container.
		{"plain", func(p *v1.Pod) {
			side := c.container("side", forever)
			side.RestartPolicy = &always
			p.Spec.InitContainers = []v1.Container{side}
			p.Spec.EphemeralContainers = []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon(c.container("look", forever))}}
		}, map[string]string{
			"main: " + inStatus: "Seccomp:\t2", "side: " + inStatus: "Seccomp:\t2", "look: " + inStatus: "Seccomp:\t2",
		}, ""},
		{"default", func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{SeccompProfile: seccomp(v1.SeccompProfileTypeRuntimeDefault)}
		}, map[string]string{"main: " + inStatus: "Seccomp:\t2"}, ""},
		{"unconfined", func(p *v1.Pod) {
			main(p).SecurityContext = &v1.SecurityContext{SeccompProfile: seccomp(v1.SeccompProfileTypeUnconfined)}
			side := c.container("side", forever)
			p.Spec.Containers = append(p.Spec.Containers, side)
		}, map[string]string{"main: " + inStatus: "Seccomp:\t0", "side: " + inStatus: "Seccomp:\t2"}, ""},
		{"pod-unconfined", func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{SeccompProfile: seccomp(v1.SeccompProfileTypeUnconfined)}
			side := c.container("side", forever)
			side.SecurityContext = &v1.SecurityContext{SeccompProfile: seccomp(v1.SeccompProfileTypeRuntimeDefault)}
			p.Spec.Containers = append(p.Spec.Containers, side)
		}, map[string]string{"main: " + inStatus: "Seccomp:\t0", "side: " + inStatus: "Seccomp:\t2"}, ""},
		{"profile", func(p *v1.Pod) {
			main(p).SecurityContext = &v1.SecurityContext{SeccompProfile: seccomp(v1.SeccompProfileTypeLocalhost)}
		}, nil, "the node has no profile directory; use RuntimeDefault or Unconfined"},
		{"privileged", func(p *v1.Pod) { main(p).SecurityContext = &v1.SecurityContext{Privileged: &yes} }, map[string]string{
			"main: " + inStatus: "Seccomp:\t0", "main: ls /dev": "kmsg", "main: mount -t tmpfs none /tmp": "",
		}, ""},
		{"capabilities", func(p *v1.Pod) {
			main(p).SecurityContext = &v1.SecurityContext{Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}, Add: []v1.Capability{"NET_ADMIN", "CAP_SYS_TIME"}}}
		}, map[string]string{"main: " + inStatus: "CapEff:\t0000000002001000"}, ""},
		{"sysctls", func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{
				{Name: "net.ipv4.ip_unprivileged_port_start", Value: "81"}, {Name: "net/ipv4/ip_local_port_range", Value: "1024 65000"}, {Name: "kernel.shm_rmid_forced", Value: "1"},
			}}
		}, map[string]string{
			"main: cat /proc/sys/net/ipv4/ip_unprivileged_port_start": "81", "main: cat /proc/sys/net/ipv4/ip_local_port_range": "1024\t65000",
			"main: cat /proc/sys/kernel/shm_rmid_forced": "1",
		}, ""},
		{"host-pid", func(p *v1.Pod) { p.Spec.HostPID = true }, map[string]string{"main: ps": "dockerd", "main: hostname": "host-pid"}, ""},
		{"fqdn", func(p *v1.Pod) {
			p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "db-0", "db", &yes
		}, map[string]string{"main: hostname": "db-0.db.default.svc.cluster.local", "main: cat /etc/hosts": "\tdb-0.db.default.svc.cluster.local\tdb-0"}, ""},
		{strings.Repeat("long-name-", 7) + "end", func(*v1.Pod) {}, map[string]string{"main: hostname": strings.Repeat("long-name-", 6) + "lon"}, ""},
		{"dns-default", func(p *v1.Pod) { p.Spec.DNSPolicy = v1.DNSDefault }, map[string]string{"main: cat /etc/resolv.conf": "nameserver "}, ""},
		{"dns-more", func(p *v1.Pod) {
			ndots := "2"
			p.Spec.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{"9.9.9.9"}, Searches: []string{"a.b"}, Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: &ndots}}}
		}, map[string]string{
			"main: cat /etc/resolv.conf": "search default.svc.cluster.local svc.cluster.local cluster.local a.b\nnameserver 10.244.128.10\nnameserver 9.9.9.9\noptions ndots:2",
		}, ""},
		{"ids", func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{RunAsUser: &uid, RunAsGroup: &gid, SupplementalGroups: []int64{4000}, FSGroup: &gid}
			side := c.container("side", forever)
			root := int64(0)
			side.SecurityContext = &v1.SecurityContext{RunAsUser: &root}
			p.Spec.Containers = append(p.Spec.Containers, side)
		}, map[string]string{"main: id": "uid=1000(app) gid=3000 groups=3000,4000", "side: id": "uid=0(root) gid=3000"}, ""},
		{"no-new-privileges", func(p *v1.Pod) { main(p).SecurityContext = &v1.SecurityContext{AllowPrivilegeEscalation: &no} },
			map[string]string{"main: " + inStatus: "NoNewPrivs:\t1"}, ""},
		{"nonroot-image", func(p *v1.Pod) {
			main(p).Image = numeric
			p.Spec.SecurityContext = &v1.PodSecurityContext{RunAsNonRoot: &yes}
		}, map[string]string{"main: id": "uid=1000(app) gid=2000"}, ""},
		{"nonroot-name", func(p *v1.Pod) {
			main(p).Image = named
			p.Spec.SecurityContext = &v1.PodSecurityContext{RunAsNonRoot: &yes}
		}, nil, "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root"},
		{"named-user", func(p *v1.Pod) { main(p).Image = named }, map[string]string{"main: id": "uid=1000(app) gid=1000"}, ""},
		{"root-refused", func(p *v1.Pod) {
			root := int64(0)
			main(p).SecurityContext = &v1.SecurityContext{RunAsNonRoot: &yes, RunAsUser: &root}
		}, nil, "container's runAsUser breaks non-root policy"},
	}
	for _, test := range tests {
		c.pod(test.name, test.make)
	}
	// What the engine can't give is refused, before any container exists.
	info := c.info()
	mapped := info.Rootless || info.UserNSRemap
	if !mapped {
		c.pod("user-namespace", func(p *v1.Pod) { p.Spec.HostUsers = &no })
	}
	c.pod("hosts-sysctl", func(p *v1.Pod) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "vm.swappiness", Value: "1"}}}
	})
	if !mapped {
		c.untilEvent("user-namespace", "FailedCreatePodSandBox: Failed to create pod sandbox: hostUsers is false, but the Docker Engine has no user namespaces")
	}
	c.untilEvent("hosts-sysctl", "FailedCreatePodSandBox: Failed to create pod sandbox: ")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := c.in(t)
			if info.Rootless && (test.name == "privileged" || test.name == "host-pid") {
				t.Skip("a rootless engine has neither the host's devices nor its processes to give")
			}
			if test.name == "privileged" {
				c.needsPrivilege()
			}
			if test.refused != "" {
				c.refused(test.name, "CreateContainerConfigError", test.refused)
				return
			}
			c.until(test.name, "ready", patience, ready)
			for what, want := range test.shows {
				container, command, _ := strings.Cut(what, ": ")
				if container == "look" {
					c.until(test.name, "being looked at", patience, func(p *v1.Pod) bool { return status(p, "look").State.Running != nil })
				}
				if got := c.exec(test.name, container, strings.Fields(command)...); !strings.Contains(got, want) || want == "" && got != "" {
					t.Errorf("%s in container %s: want %q in\n%s", command, container, want, got)
				}
			}
		})
	}
}

// needsPrivilege skips the test on an engine that itself lacks capabilities and so can't give them all away.
func (c *cluster) needsPrivilege() {
	c.t.Helper()
	ctx := context.Background()
	id, err := c.engine.CreateContainer(ctx, docker.ContainerSpec{
		Image: c.image, Cmd: []string{"/bin/true"}, Privileged: true, Network: "none", Labels: map[string]string{docker.LabelProfile: c.profile},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.engine.StartContainer(ctx, id); err != nil {
		c.t.Skipf("this engine has no privileged containers: %v", err)
	}
}

// TestRuntimeClass: the handler of a class is a runtime of the engine, and one that the engine doesn't have is said as kubelet does.
func TestRuntimeClass(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.run()
	for class, handler := range map[string]string{"known": "runc", "unknown": "t-no-such-runtime"} {
		object := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Handler: handler}
		if _, err := c.client.NodeV1().RuntimeClasses().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		c.pod(class, func(p *v1.Pod) { p.Spec.RuntimeClassName = &class })
	}
	c.until("known", "ready", patience, ready)
	c.untilEvent("unknown", `FailedCreatePodSandBox: Failed to create pod sandbox: no runtime for "t-no-such-runtime" is configured`)
}
