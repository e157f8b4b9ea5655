package spec

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff.local/skiff/runtime/docker"
)

func config() *Config {
	return &Config{
		Profile: "p", Network: "skiff-p", NodeImage: "node", ClusterDNS: netip.MustParseAddr("10.244.128.10"), ClusterDomain: "cluster.local",
		Engine: docker.EngineInfo{Memory: 8 << 30, AppArmor: true, CPUShares: true, CPUQuota: true, MemoryLimit: true},
	}
}

func pod(change func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec:       v1.PodSpec{DNSPolicy: v1.DNSClusterFirst, Containers: []v1.Container{{Name: "main", Image: "app"}}},
	}
	if change != nil {
		change(p)
	}
	return p
}

func TestResolvFollowsTheDNSPolicy(t *testing.T) {
	one := "1"
	for _, test := range []struct {
		name   string
		change func(*v1.Pod)
		want   string // empty: the engine's own
	}{
		{"cluster first", nil, "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.244.128.10\noptions ndots:5\n"},
		{"on the host's network cluster first means the host's", func(p *v1.Pod) { p.Spec.HostNetwork = true }, ""},
		{"cluster first with host net", func(p *v1.Pod) { p.Spec.HostNetwork, p.Spec.DNSPolicy = true, v1.DNSClusterFirstWithHostNet },
			"search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.244.128.10\noptions ndots:5\n"},
		{"default", func(p *v1.Pod) { p.Spec.DNSPolicy = v1.DNSDefault }, ""},
		{"options are merged by name", func(p *v1.Pod) {
			p.Spec.DNSConfig = &v1.PodDNSConfig{
				Nameservers: []string{"1.1.1.1", "10.244.128.10"}, Searches: []string{"a.b"},
				Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: &one}, {Name: "edns0"}},
			}
		}, "search default.svc.cluster.local svc.cluster.local cluster.local a.b\nnameserver 10.244.128.10\nnameserver 1.1.1.1\noptions ndots:1 edns0\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := config().Resolv(pod(test.change))
			if got != test.want || ok != (test.want != "") {
				t.Errorf("%v %q", ok, got)
			}
		})
	}
}

func TestHostname(t *testing.T) {
	for _, test := range []struct {
		name         string
		change       func(*v1.Pod)
		host, domain string
	}{
		{"the pod's name", nil, "web", ""},
		{"hostname and subdomain", func(p *v1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "db-0", "db" }, "db-0", "db.default.svc.cluster.local"},
		{"long names are cut", func(p *v1.Pod) { p.Name = strings.Repeat("a", 62) + ".bcd" }, strings.Repeat("a", 62), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if host, domain := Hostname(pod(test.change), "cluster.local"); host != test.host || domain != test.domain {
				t.Errorf("%q %q", host, domain)
			}
		})
	}
}

func TestSandboxHasWhatIsThePods(t *testing.T) {
	yes := true
	got := config().Sandbox(pod(func(p *v1.Pod) {
		p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "a", "b", &yes
		p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "net/core/somaxconn", Value: "100"}}}
		p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: 8080, Protocol: v1.ProtocolTCP}, {ContainerPort: 81}}
	}), 2, nil)
	if got.Hostname != "a.b.default.svc.cluster.local" || got.Domainname != "" || got.Network != "skiff-p" || got.IPC != "shareable" || !got.Stdin {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(map[string]string{"net.core.somaxconn": "100"}, got.Sysctls); diff != "" {
		t.Error(diff)
	}
	if len(got.Ports) != 0 {
		t.Errorf("the engine publishes %+v: host ports are the network's to open", got.Ports)
	}
	if id, ok := docker.ParseIdentity(got.Labels); !ok || id.Attempt != 2 || id.Role != docker.RoleSandbox {
		t.Errorf("identity %+v", id)
	}
}

func TestContainerSecurity(t *testing.T) {
	yes, no, zero, uid, gid := true, false, int64(0), int64(1000), int64(2000)
	unmasked := v1.UnmaskedProcMount
	profile := "mine"
	for _, test := range []struct {
		name    string
		pod     *v1.PodSecurityContext
		own     *v1.SecurityContext
		image   string
		want    func(*docker.ContainerSpec) bool
		wantErr string
	}{
		{"nothing asked means the engine's default profiles", nil, nil, "", func(s *docker.ContainerSpec) bool {
			return s.Security.Seccomp == "" && s.Security.AppArmor == "" && s.User == "" && !s.Security.NoNewPrivileges
		}, ""},
		{"unconfined only when asked", nil, &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}}, "",
			func(s *docker.ContainerSpec) bool { return s.Security.Seccomp == "unconfined" }, ""},
		{"the container's user over the pod's", &v1.PodSecurityContext{RunAsUser: &zero, RunAsGroup: &gid}, &v1.SecurityContext{RunAsUser: &uid}, "",
			func(s *docker.ContainerSpec) bool { return s.User == "1000:2000" }, ""},
		{"a group alone keeps the image's user", nil, &v1.SecurityContext{RunAsGroup: &gid}, "app:app",
			func(s *docker.ContainerSpec) bool { return s.User == "app:2000" }, ""},
		{"fsGroup is a supplemental group", &v1.PodSecurityContext{FSGroup: &gid, SupplementalGroups: []int64{5}}, nil, "",
			func(s *docker.ContainerSpec) bool { return cmp.Equal(s.Groups, []string{"2000", "5"}) }, ""},
		{"no privilege escalation", nil, &v1.SecurityContext{AllowPrivilegeEscalation: &no, ProcMount: &unmasked}, "",
			func(s *docker.ContainerSpec) bool { return s.Security.NoNewPrivileges && s.Security.UnmaskedProc }, ""},
		{"capabilities by either name", nil, &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"net_admin", "CAP_SYS_TIME"}, Drop: []v1.Capability{"all"}}}, "",
			func(s *docker.ContainerSpec) bool {
				return cmp.Equal(s.CapAdd, []string{"CAP_NET_ADMIN", "CAP_SYS_TIME"}) && cmp.Equal(s.CapDrop, []string{"ALL"})
			}, ""},
		{"a loaded AppArmor profile", nil, &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &profile}}, "",
			func(s *docker.ContainerSpec) bool { return s.Security.AppArmor == "mine" }, ""},
		{"the default AppArmor profile in spite of all privileges", &v1.PodSecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeRuntimeDefault}},
			&v1.SecurityContext{Privileged: &yes}, "", func(s *docker.ContainerSpec) bool { return s.Security.AppArmor == "docker-default" }, ""},
		{"non-root by the image's number", nil, &v1.SecurityContext{RunAsNonRoot: &yes}, "1001", func(*docker.ContainerSpec) bool { return true }, ""},
		{"non-root refuses root", nil, &v1.SecurityContext{RunAsNonRoot: &yes}, "", nil, "image will run as root"},
		{"non-root refuses a name", nil, &v1.SecurityContext{RunAsNonRoot: &yes}, "app", nil, "non-numeric user (app)"},
		{"non-root refuses runAsUser 0", nil, &v1.SecurityContext{RunAsNonRoot: &yes, RunAsUser: &zero}, "1001", nil, "breaks non-root policy"},
		{"a seccomp profile from a file", nil, &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost}}, "", nil, "no profile directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pod(func(p *v1.Pod) { p.Spec.SecurityContext, p.Spec.Containers[0].SecurityContext = test.pod, test.own })
			got, err := config().Container(ContainerInput{Pod: p, Container: &p.Spec.Containers[0], Sandbox: "sb", ImageUser: test.image})
			switch {
			case test.wantErr != "":
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Errorf("error %v", err)
				}
			case err != nil:
				t.Error(err)
			case !test.want(&got):
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestResourcesAndOOMScore(t *testing.T) {
	list := func(cpu, memory string) v1.ResourceList {
		out := v1.ResourceList{}
		if cpu != "" {
			out[v1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			out[v1.ResourceMemory] = resource.MustParse(memory)
		}
		return out
	}
	for _, test := range []struct {
		name             string
		requests, limits v1.ResourceList
		want             docker.Resources
		score            int
	}{
		{"best effort", nil, nil, docker.Resources{CPUShares: 2}, 1000},
		{"burstable", list("250m", "4Gi"), list("", ""), docker.Resources{CPUShares: 256}, 500},
		{"guaranteed", list("1", "1Gi"), list("1", "1Gi"), docker.Resources{CPUShares: 1024, CPUPeriod: 100000, CPUQuota: 100000, Memory: 1 << 30, MemorySwap: 1 << 30}, -997},
		{"a request for nothing", list("0", ""), list("2", ""), docker.Resources{CPUShares: 2, CPUPeriod: 100000, CPUQuota: 200000}, 999},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pod(func(p *v1.Pod) {
				p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: test.requests, Limits: test.limits}
			})
			if diff := cmp.Diff(test.want, config().Resources(p, &p.Spec.Containers[0])); diff != "" {
				t.Error(diff)
			}
			if got := config().OOMScore(p, &p.Spec.Containers[0]); got != test.score {
				t.Errorf("OOM score %d, want %d", got, test.score)
			}
		})
	}
}

func TestWhatTheEngineCannotLimitIsLeftOut(t *testing.T) {
	p := pod(func(p *v1.Pod) {
		p.Spec.Containers[0].Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("1Gi")}
		p.Spec.Resources = &v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceCPU: resource.MustParse("1")}}
	})
	bare := pod(nil)
	for name, test := range map[string]struct {
		engine docker.EngineInfo
		want   docker.Resources
		misses []v1.ResourceName
	}{
		"no cgroups":                   {docker.EngineInfo{}, docker.Resources{}, []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory}},
		"no cpu, as systemd delegates": {docker.EngineInfo{MemoryLimit: true}, docker.Resources{Memory: 1 << 30, MemorySwap: 1 << 30}, []v1.ResourceName{v1.ResourceCPU}},
		"everything": {docker.EngineInfo{MemoryLimit: true, CPUQuota: true, CPUShares: true},
			docker.Resources{CPUShares: 2, CPUPeriod: 100000, CPUQuota: 100000, Memory: 1 << 30, MemorySwap: 1 << 30}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.Engine = test.engine
			if diff := cmp.Diff(test.want, c.Resources(p, &p.Spec.Containers[0])); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.misses, c.Unenforced(p, &p.Spec.Containers[0])); diff != "" {
				t.Error(diff)
			}
			if got := c.Unenforced(bare, &bare.Spec.Containers[0]); got != nil {
				t.Errorf("of a pod without limits: %v", got)
			}
		})
	}
}

// objects serves a few fixed objects.
type objects struct{}

func (objects) ConfigMap(_ context.Context, ns, name string) (*v1.ConfigMap, error) {
	if name != "cm" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
	}
	return &v1.ConfigMap{Data: map[string]string{"a": "1", "b": "2"}}, nil
}

func (objects) Secret(_ context.Context, ns, name string) (*v1.Secret, error) {
	return &v1.Secret{Data: map[string][]byte{"s": []byte("x")}}, nil
}

func (objects) Services(ns string) ([]*v1.Service, error) {
	service := func(name, ip string) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.ServiceSpec{ClusterIP: ip, Ports: []v1.ServicePort{{Port: 80}}}}
	}
	if ns == "default" {
		return []*v1.Service{service("kubernetes", "10.0.0.1"), service("headless", "None")}, nil
	}
	return []*v1.Service{service("my-db", "10.0.0.2")}, nil
}

func TestEnvironment(t *testing.T) {
	yes, no := true, false
	env := func(links *bool, c v1.Container) (map[string]string, error) {
		p := pod(func(p *v1.Pod) { p.Namespace = "other"; p.Spec.EnableServiceLinks = links; p.Spec.Containers[0] = c })
		list, err := config().Env(t.Context(), EnvInput{Pod: p, Container: &p.Spec.Containers[0], Objects: objects{}, PodIPs: []string{"10.244.0.5"}})
		return envMap(list), err
	}
	from := func(name string, optional *bool) *v1.EnvVarSource {
		return &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: name}, Key: "a", Optional: optional}}
	}
	got, err := env(&yes, v1.Container{
		Name: "main",
		EnvFrom: []v1.EnvFromSource{
			{Prefix: "P_", ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}}},
			{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "missing"}, Optional: &yes}},
		},
		Env: []v1.EnvVar{
			{Name: "X", Value: "$(P_a)$(MY_DB_SERVICE_HOST)"}, {Name: "P_b", Value: "over"}, {Name: "NONE", ValueFrom: from("missing", &yes)},
			{Name: "MY_DB_SERVICE_PORT", Value: "mine"}, {Name: "IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"X": "110.0.0.2", "P_a": "1", "P_b": "over", "MY_DB_SERVICE_PORT": "mine", "KUBERNETES_SERVICE_HOST": "10.0.0.1", "IP": "10.244.0.5",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	if _, ok := got["NONE"]; ok {
		t.Error("an optional variable without a source is set")
	}
	got, _ = env(&no, v1.Container{Name: "main"})
	if _, ok := got["MY_DB_SERVICE_HOST"]; ok || got["KUBERNETES_SERVICE_HOST"] == "" {
		t.Errorf("without service links: %v", got)
	}
	if _, err := env(&yes, v1.Container{Name: "main", Env: []v1.EnvVar{{Name: "A", ValueFrom: from("missing", nil)}}}); err == nil {
		t.Error("a missing ConfigMap is no error")
	}
}

func TestLimitsThatAContainerLacksAreThePods(t *testing.T) {
	c := Config{Allocatable: v1.ResourceList{v1.ResourceCPU: resource.MustParse("8"), v1.ResourceMemory: resource.MustParse("16Gi")}}
	p := &v1.Pod{Spec: v1.PodSpec{
		Containers: []v1.Container{{Name: "c"}},
		Resources:  &v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi")}},
	}}
	for field, want := range map[string]string{"limits.memory": "67108864", "limits.cpu": "8"} {
		if got, err := c.ResourceField(p, "c", &v1.ResourceFieldSelector{Resource: field}); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %s", field, got, err, want)
		}
	}
	if c.Allocatable.Memory().String() != "16Gi" {
		t.Errorf("the node's memory became %v", c.Allocatable.Memory())
	}
}
