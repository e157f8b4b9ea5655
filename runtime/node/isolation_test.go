package node

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func testSecurity(t *testing.T, c *cluster) {
	yes, no, uid := true, false, int64(1000)
	c.pod("sec", func(p *v1.Pod) {
		main(p).SecurityContext = &v1.SecurityContext{
			RunAsUser: &uid, RunAsNonRoot: &yes, ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: &no,
			Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}},
		}
		p.Spec.SecurityContext = &v1.PodSecurityContext{SupplementalGroups: []int64{4000}}
	})
	c.pod("nonroot", func(p *v1.Pod) { main(p).SecurityContext = &v1.SecurityContext{RunAsNonRoot: &yes} })
	c.until("sec", "ready", patience, ready)
	if got := c.exec("sec", "main", "id"); !strings.HasPrefix(got, "uid=1000(app) gid=1000 groups=1000,4000") && !strings.Contains(got, "4000") {
		t.Errorf("id: %s", got)
	}
	proc := c.exec("sec", "main", "cat", "/proc/1/status")
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"} {
		if !strings.Contains(proc, want) {
			t.Errorf("no %q in\n%s", want, proc)
		}
	}
	if got := c.exec("sec", "main", "touch", "/x"); !strings.Contains(got, "Read-only") {
		t.Errorf("root is writable: %s", got)
	}
	p := c.until("nonroot", "refused", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CreateContainerConfigError"
	})
	if w := status(p, "main").State.Waiting; !strings.Contains(w.Message, "image will run as root") {
		t.Errorf("%+v", w)
	}
}

func testSharedNamespaces(t *testing.T, c *cluster) {
	yes := true
	c.pod("duo", func(p *v1.Pod) {
		p.Spec.ShareProcessNamespace = &yes
		p.Spec.Containers = append(p.Spec.Containers, c.container("side", "mkdir /tmp/w; echo hi > /tmp/w/index.html; httpd -p 80 -h /tmp/w; "+forever))
		main(p).Stdin, main(p).TTY = true, true
		main(p).Command = []string{"/bin/cat"}
	})
	c.until("duo", "ready", patience, ready)
	if got := c.exec("duo", "main", "wget", "-q", "-O-", "http://127.0.0.1/"); got != "hi" {
		t.Errorf("over localhost: %q", got)
	}
	if got := c.exec("duo", "main", "ps"); !strings.Contains(got, "skiff-node pause") || !strings.Contains(got, "httpd") {
		t.Errorf("processes: %s", got)
	}
	ipc := func(name string) string { return c.exec("duo", name, "readlink", "/proc/self/ns/ipc") }
	if ipc("main") != ipc("side") {
		t.Error("two IPC namespaces")
	}
}

func testNames(t *testing.T, c *cluster) {
	c.pod("names", func(p *v1.Pod) {
		p.Spec.Hostname, p.Spec.Subdomain = "db-0", "db"
		p.Spec.HostAliases = []v1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"foo", "bar"}}}
	})
	p := c.until("names", "ready", patience, ready)
	hosts := c.exec("names", "main", "cat", "/etc/hosts")
	if !strings.Contains(hosts, p.Status.PodIP+"\tdb-0.db.default.svc.cluster.local\tdb-0") || !strings.Contains(hosts, "1.2.3.4\tfoo\tbar") {
		t.Error(hosts)
	}
	if got := c.exec("names", "main", "hostname"); got != "db-0" {
		t.Error(got)
	}
	if got := c.exec("names", "main", "hostname", "-f"); got != "db-0.db.default.svc.cluster.local" {
		t.Error(got)
	}
}

func testDNS(t *testing.T, c *cluster) {
	two := "2"
	c.pod("dns", func(p *v1.Pod) {
		p.Spec.DNSPolicy = v1.DNSNone
		p.Spec.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{"9.9.9.9"}, Searches: []string{"a.b"}, Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "edns0"}}}
	})
	c.until("dns", "ready", patience, ready)
	if got := c.exec("dns", "main", "cat", "/etc/resolv.conf"); got != "search a.b\nnameserver 9.9.9.9\noptions ndots:2 edns0" {
		t.Error(got)
	}
}

func testHostNamespaces(t *testing.T, c *cluster) {
	if c.info().Rootless {
		t.Skip("a rootless engine has no host's processes and network to show")
	}
	c.pod("hostns", func(p *v1.Pod) {
		p.Spec.HostNetwork, p.Spec.HostPID, p.Spec.HostIPC = true, true, true
		p.Spec.DNSPolicy = v1.DNSClusterFirstWithHostNet
		p.Spec.HostAliases = []v1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"foo"}}}
		port := 20000 + rand.IntN(10000)
		script(p, fmt.Sprintf("httpd -p %d -h /etc; ", port)+forever)
		main(p).ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/passwd", Port: intstr.FromInt(port)}}}
	})
	p := c.until("hostns", "ready", patience, ready)
	if p.Status.PodIP != p.Status.HostIP || p.Status.PodIP == "" {
		t.Errorf("%+v", p.Status)
	}
	// The host's IPC namespace is the one that all who ask for it share.
	c.pod("hostipc", func(p *v1.Pod) { p.Spec.HostIPC = true })
	c.until("hostipc", "ready", patience, ready)
	c.pod("ownipc", nil)
	c.until("ownipc", "ready", patience, ready)
	ipc := func(pod string) string { return c.exec(pod, "main", "readlink", "/proc/self/ns/ipc") }
	if ipc("hostns") != ipc("hostipc") || ipc("hostns") == ipc("ownipc") {
		t.Errorf("IPC namespaces: %s, %s with hostIPC, %s without", ipc("hostns"), ipc("hostipc"), ipc("ownipc"))
	}
	if got := c.exec("hostns", "main", "ps"); !strings.Contains(got, "dockerd") {
		t.Error("not the host's processes")
	}
	if got := c.exec("hostns", "main", "cat", "/etc/resolv.conf"); !strings.Contains(got, "nameserver 10.244.128.10") {
		t.Error(got)
	}
	if got := c.exec("hostns", "main", "cat", "/etc/hosts"); !strings.Contains(got, "1.2.3.4\tfoo") {
		t.Error(got)
	}
}
