package node

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func testLiveness(t *testing.T, c *cluster) {
	c.pod("live", func(p *v1.Pod) {
		script(p, "touch /tmp/ok; "+forever)
		main(p).LivenessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1, InitialDelaySeconds: 1, TimeoutSeconds: 5,
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/stat", "/tmp/ok"}}}}
	})
	c.until("live", "ready", patience, ready)
	c.exec("live", "main", "rm", "/tmp/ok")
	p := c.until("live", "restarted", patience, func(p *v1.Pod) bool {
		return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil
	})
	events := c.eventsOf("live")
	if !strings.Contains(events, "Warning Unhealthy: Liveness probe failed: stat: can't stat '/tmp/ok'") ||
		!strings.Contains(events, "Normal Killing: Container main failed liveness probe, will be restarted") {
		t.Error(events)
	}
	_ = p
}

func testReadiness(t *testing.T, c *cluster) {
	c.needsRoute()
	c.pod("rdy", func(p *v1.Pod) {
		script(p, "mkdir /tmp/w; touch /tmp/w/healthz; httpd -p 8080 -h /tmp/w; "+forever)
		main(p).Ports = []v1.ContainerPort{{Name: "web", ContainerPort: 8080}}
		main(p).ReadinessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1,
			ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("web")}}}
	})
	c.until("rdy", "ready", patience, ready)
	c.exec("rdy", "main", "rm", "/tmp/w/healthz")
	c.until("rdy", "unready", patience, func(p *v1.Pod) bool { return !ready(p) })
	c.exec("rdy", "main", "touch", "/tmp/w/healthz")
	c.until("rdy", "ready again", patience, ready)
	if events := c.eventsOf("rdy"); !strings.Contains(events, "Readiness probe failed: HTTP probe failed with statuscode: 404") {
		t.Error(events)
	}
}

func testTCPProbe(t *testing.T, c *cluster) {
	c.pod("tcp", func(p *v1.Pod) {
		script(p, "sleep 2; httpd -p 80; "+forever)
		main(p).StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 30, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr80}}}
		main(p).LivenessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr80}}}
	})
	p := c.until("tcp", "ready", patience, ready)
	if s := status(p, "main"); s.RestartCount != 0 || s.Started == nil || !*s.Started {
		t.Errorf("%+v", s)
	}
}

func testExecProbeTimeout(t *testing.T, c *cluster) {
	probe := func(command ...string) *v1.Probe {
		return &v1.Probe{PeriodSeconds: 2, TimeoutSeconds: 1, FailureThreshold: 1, SuccessThreshold: 1,
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: command}}}
	}
	c.pod("slow", func(p *v1.Pod) {
		main(p).ReadinessProbe = probe("/bin/sh", "-c", "sleep 77 & sleep 77")
		// Without the mark that skiff puts into its environment, a command is found by the engine's word for it.
		bare := c.container("bare", forever)
		bare.ReadinessProbe = probe("/bin/env", "-i", "/bin/sleep", "77")
		p.Spec.Containers = append(p.Spec.Containers, bare)
	})
	c.untilEvent("slow", `Readiness probe failed: command timed out: ["/bin/sh"`)
	c.untilEvent("slow", `Readiness probe failed: command timed out: ["/bin/env"`)
	// One run at a time, and the dead are gone.
	for container, atMost := range map[string]int{"main": 4, "bare": 1} {
		deadline := time.Now().Add(patience)
		for strings.Count(c.exec("slow", container, "ps"), "sleep 77") > atMost {
			if time.Now().After(deadline) {
				t.Fatalf("timed out probes go on running in %s:\n%s", container, c.exec("slow", container, "ps"))
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}
