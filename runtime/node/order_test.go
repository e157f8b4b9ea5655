package node

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func testInit(t *testing.T, c *cluster) {
	c.pod("init", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		mounts := []v1.VolumeMount{{Name: "v", MountPath: "/v"}}
		for _, name := range []string{"one", "two"} {
			k := c.container(name, "echo "+name+" >> /v/order")
			k.VolumeMounts = mounts
			p.Spec.InitContainers = append(p.Spec.InitContainers, k)
		}
		main(p).VolumeMounts = mounts
	})
	p := c.until("init", "ready", patience, ready)
	if got := c.exec("init", "main", "cat", "/v/order"); got != "one\ntwo" {
		t.Errorf("order %q", got)
	}
	if s := status(p, "one"); !s.Ready || s.State.Terminated == nil || s.State.Terminated.Reason != "Completed" {
		t.Errorf("init status %+v", s)
	}
}

func testSidecar(t *testing.T, c *cluster) {
	always := v1.ContainerRestartPolicyAlways
	c.pod("sidecar", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		side := c.container("side", "touch /tmp/up; "+forever)
		side.RestartPolicy = &always
		side.StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 10, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/stat", "/tmp/up"}}}}
		p.Spec.InitContainers = []v1.Container{side}
		script(p, "sleep 1")
	})
	c.until("sidecar", "running", patience, func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodRunning && status(p, "side").State.Running != nil && status(p, "main").State.Running != nil
	})
	p := c.until("sidecar", "succeeded", patience, phase(v1.PodSucceeded))
	if status(p, "side").State.Terminated == nil {
		t.Errorf("the sidecar outlived the pod: %+v", status(p, "side"))
	}
}

func testHooks(t *testing.T, c *cluster) {
	c.pod("hooks", func(p *v1.Pod) {
		grace := int64(30)
		p.Spec.TerminationGracePeriodSeconds = &grace
		p.Spec.Volumes = []v1.Volume{{Name: "h", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		main(p).Lifecycle = &v1.Lifecycle{
			PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"/bin/sh", "-c", "sleep 1; echo post > /tmp/post"}}},
			PreStop:   &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: 1}},
		}
	})
	c.until("hooks", "ready", patience, ready)
	if got := c.exec("hooks", "main", "cat", "/tmp/post"); got != "post" {
		t.Errorf("postStart: %q", got)
	}
	start := time.Now()
	c.remove("hooks", 30)
	c.until("hooks", "gone", patience, gone)
	if took := time.Since(start); took < time.Second || took >= 30*time.Second {
		t.Errorf("termination with a preStop of 1s took %v", took)
	}
}

func testPostStartFails(t *testing.T, c *cluster) {
	c.pod("psf", func(p *v1.Pod) {
		main(p).Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"/bin/false"}}}}
	})
	c.until("psf", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
	if e := c.eventsOf("psf"); !strings.Contains(e, "Warning FailedPostStartHook: PostStartHook failed") || !strings.Contains(e, "Killing: FailedPostStartHook") {
		t.Error(e)
	}
}

func testReadinessGate(t *testing.T, c *cluster) {
	c.pod("gate", func(p *v1.Pod) { p.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "example.com/open"}} })
	p := c.until("gate", "running", patience, func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.Ready
	})
	if ready(p) {
		t.Error("ready in spite of its gate")
	}
	p.Status.Conditions = append(p.Status.Conditions, v1.PodCondition{Type: "example.com/open", Status: v1.ConditionTrue})
	if _, err := c.client.CoreV1().Pods("default").UpdateStatus(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("gate", "ready", patience, ready)
}

func testEphemeral(t *testing.T, c *cluster) {
	c.pod("dbg", nil)
	p := c.until("dbg", "ready", patience, ready)
	p.Spec.EphemeralContainers = []v1.EphemeralContainer{{
		EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "debugger", Image: c.image, Command: []string{"/bin/sh", "-c", forever}},
		TargetContainerName:      "main",
	}}
	if _, err := c.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("dbg", "being debugged", patience, func(p *v1.Pod) bool { return status(p, "debugger").State.Running != nil })
	if got := c.exec("dbg", "debugger", "ps"); !strings.Contains(got, "sleep 0.1") {
		t.Errorf("processes: %s", got)
	}
}

// testPostStartKinds: hooks that ask a server, that sleep, and that have no handler that a kubelet knows.
func testPostStartKinds(t *testing.T, c *cluster) {
	c.needsRoute()
	always := v1.ContainerRestartPolicyAlways
	post := func(h v1.LifecycleHandler) *v1.Lifecycle { return &v1.Lifecycle{PostStart: &h} }
	get := func(path string) v1.LifecycleHandler {
		return v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{Port: intstr.FromInt32(8080), Path: path}}
	}
	hooked := func(name string, h v1.LifecycleHandler) {
		c.pod(name, func(p *v1.Pod) {
			server := c.container("server", "mkdir /tmp/w; touch /tmp/w/up; httpd -f -p 8080 -h /tmp/w")
			server.RestartPolicy = &always
			server.StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 100, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}
			p.Spec.InitContainers = []v1.Container{server}
			main(p).Lifecycle = post(h)
		})
	}
	hooked("post-http", get("/up"))
	hooked("post-404", get("/missing"))
	hooked("post-tcp", v1.LifecycleHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(8080)}})
	hooked("post-sleep", v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: 2}})
	c.until("post-http", "ready", patience, ready)
	p := c.until("post-sleep", "ready", patience, ready)
	for _, cond := range p.Status.Conditions {
		started := status(p, "main").State.Running.StartedAt
		if cond.Type == v1.PodReady && cond.LastTransitionTime.Sub(started.Time) < time.Second {
			t.Errorf("ready at %v, before the hook that began at %v has slept", cond.LastTransitionTime, started)
		}
	}
	for _, name := range []string{"post-404", "post-tcp"} {
		c.untilEvent(name, "Warning FailedPostStartHook: PostStartHook failed")
		c.until(name, "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
	}
	if p := c.get("post-http"); status(p, "main").RestartCount != 0 {
		t.Errorf("%+v", status(p, "main"))
	}
}
