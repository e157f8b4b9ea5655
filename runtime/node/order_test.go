package node

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		grace := int64(10)
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
	c.remove("hooks", 10)
	c.until("hooks", "gone", patience, gone)
	if took := time.Since(start); took < time.Second || took > 8*time.Second {
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
