package node

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probedImage is the tests' image with a server for https and gRPC.
func (c *cluster) probedImage() string {
	c.t.Helper()
	binary := filepath.Join(c.t.TempDir(), "probed")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, "./testdata/probed")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		c.t.Fatalf("build the probed server: %v\n%s", err, out)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.newImage("probed", map[string][]byte{"bin/probed": data})
}

// TestProbeKinds has every kind of probe, with its fields, ask servers in containers.
func TestProbeKinds(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.run()
	image := c.probedImage()
	served := func(text string) v1.Container {
		k := c.container("main", text+"exec probed")
		k.Image = image
		k.Ports = []v1.ContainerPort{{Name: "tls", ContainerPort: 8443}}
		return k
	}
	db := "db"
	onGRPC := v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: 9000, Service: &db}}
	c.pod("https", func(p *v1.Pod) {
		k := served("touch /tmp/ok; ")
		k.ReadinessProbe = &v1.Probe{PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 2, SuccessThreshold: 2,
			ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{
				Scheme: v1.URISchemeHTTPS, Port: intstr.FromString("tls"), Path: "/healthz?deep=1",
				HTTPHeaders: []v1.HTTPHeader{{Name: "Host", Value: "probe.example"}, {Name: "X-Token", Value: "secret"}},
			}}}
		p.Spec.Containers = []v1.Container{k}
	})
	c.pod("grpc", func(p *v1.Pod) {
		k := served("")
		k.StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1000, ProbeHandler: onGRPC}
		k.LivenessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 2, TimeoutSeconds: 5, ProbeHandler: onGRPC}
		p.Spec.Containers = []v1.Container{k}
	})
	c.pod("startup", func(p *v1.Pod) {
		main(p).StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 2, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr80}}}
	})
	grace, brief := int64(1000), int64(1)
	c.pod("probe-grace", func(p *v1.Pod) {
		p.Spec.TerminationGracePeriodSeconds = &grace
		script(p, "trap '' TERM; while true; do sleep 0.1; done")
		main(p).LivenessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5, TerminationGracePeriodSeconds: &brief,
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/false"}}}}
	})
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	host, port, _ := net.SplitHostPort(elsewhere.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	c.pod("elsewhere", func(p *v1.Pod) { // asks another host than the pod, from the node's side
		main(p).ReadinessProbe = &v1.Probe{PeriodSeconds: 1, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Host: host, Port: intstr.FromInt(number)}}}
	})

	for name, test := range map[string]func(*cluster){
		"https": func(c *cluster) {
			c.needsRoute()
			c.until("https", "ready", patience, ready)
			c.exec("https", "main", "touch", "/tmp/slow")
			c.until("https", "unready", patience, func(p *v1.Pod) bool { return !ready(p) })
			c.exec("https", "main", "rm", "/tmp/slow")
			c.until("https", "ready again", patience, ready)
			c.exec("https", "main", "rm", "/tmp/ok")
			c.until("https", "unready again", patience, func(p *v1.Pod) bool { return !ready(p) })
			events := c.eventsOf("https")
			if !strings.Contains(events, "Readiness probe failed: HTTP probe failed with statuscode: 503") || !strings.Contains(events, "context deadline exceeded") {
				c.t.Error(events)
			}
		},
		"grpc": func(c *cluster) {
			c.needsRoute()
			p := c.until("grpc", "running", patience, func(p *v1.Pod) bool { return p != nil && status(p, "main").State.Running != nil })
			if s := status(p, "main"); s.Ready || s.Started == nil || *s.Started {
				c.t.Errorf("started although the startup probe fails: %+v", s)
			}
			c.untilEvent("grpc", "Startup probe failed: ")
			c.exec("grpc", "main", "touch", "/tmp/ok")
			c.until("grpc", "ready", patience, ready)
			c.exec("grpc", "main", "rm", "/tmp/ok")
			c.until("grpc", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
			if events := c.eventsOf("grpc"); !strings.Contains(events, `Liveness probe failed: service unhealthy (responded with "NOT_SERVING")`) {
				c.t.Error(events)
			}
		},
		"startup": func(c *cluster) {
			c.needsRoute()
			c.until("startup", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
			if events := c.eventsOf("startup"); !strings.Contains(events, "Killing: Container main failed startup probe, will be restarted") {
				c.t.Error(events)
			}
		},
		"probe-grace": func(c *cluster) {
			c.until("probe-grace", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
		},
		"elsewhere": func(c *cluster) { c.until("elsewhere", "ready", patience, ready) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(c.in(t))
		})
	}
}
