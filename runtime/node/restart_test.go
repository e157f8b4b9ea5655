package node

import (
	"context"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/runtime/docker"
)

func testCrash(t *testing.T, c *cluster) {
	c.pod("crash", func(p *v1.Pod) { script(p, "echo dying > /dev/termination-log; exit 3") })
	p := c.until("crash", "in CrashLoopBackOff", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff"
	})
	s := status(p, "main")
	if s.RestartCount != 1 || s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 3 ||
		s.LastTerminationState.Terminated.Message != "dying\n" || s.LastTerminationState.Terminated.Reason != "Error" {
		t.Errorf("status %+v", s)
	}
	if p.Status.Phase != v1.PodRunning {
		t.Errorf("phase %s", p.Status.Phase)
	}
	p = c.until("crash", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount == 2 })
	if !strings.Contains(c.eventsOf("crash"), "Warning BackOff: Back-off restarting failed container main in pod crash_default(") {
		t.Error(c.eventsOf("crash"))
	}
}

func testCompletion(t *testing.T, c *cluster) {
	c.pod("done", func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever; script(p, "exit 0") })
	p := c.until("done", "succeeded", patience, phase(v1.PodSucceeded))
	if s := status(p, "main"); s.State.Terminated == nil || s.State.Terminated.Reason != "Completed" {
		t.Errorf("%+v", s)
	}
	c.remove("done", 0)
	c.until("done", "gone", patience, gone)
}

func testFailure(t *testing.T, c *cluster) {
	c.pod("bad", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		main(p).TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
		script(p, "echo the reason; exit 7")
	})
	p := c.until("bad", "failed", patience, phase(v1.PodFailed))
	if s := status(p, "main"); s.State.Terminated == nil || s.State.Terminated.ExitCode != 7 || s.State.Terminated.Message != "the reason\n" {
		t.Errorf("%+v", s)
	}
}

func testStartError(t *testing.T, c *cluster) {
	c.pod("nocmd", func(p *v1.Pod) { main(p).Command = []string{"/no/such/thing"} })
	p := c.until("nocmd", "in CrashLoopBackOff", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff"
	})
	if term := status(p, "main").LastTerminationState.Terminated; term == nil || term.Reason != "StartError" || term.ExitCode != 128 || !strings.Contains(term.Message, "/no/such/thing") {
		t.Errorf("%+v", term)
	}
}

func testDeadline(t *testing.T, c *cluster) {
	seconds := int64(8)
	c.pod("dead", func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = &seconds })
	p := c.until("dead", "failed", patience, phase(v1.PodFailed))
	if p.Status.Reason != "DeadlineExceeded" {
		t.Errorf("reason %q", p.Status.Reason)
	}
	c.until("dead", "stopped", patience, func(p *v1.Pod) bool { return status(p, "main").State.Terminated != nil })
}

func testOnFailure(t *testing.T, c *cluster) {
	c.pod("onfail", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyOnFailure
		p.Spec.Volumes = []v1.Volume{{Name: "d", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "d", MountPath: "/d"}}
		script(p, "stat /d/second && exit 0; touch /d/second; exit 1")
	})
	p := c.until("onfail", "succeeded", patience, phase(v1.PodSucceeded))
	if s := status(p, "main"); s.RestartCount != 1 {
		t.Errorf("%+v", s)
	}
}

func testImageUpdate(t *testing.T, c *cluster) {
	c.pod("upd", nil)
	p := c.until("upd", "ready", patience, ready)
	other := "skiff.local/t-pod:other-" + c.profile
	if err := c.engine.TagImage(context.Background(), c.image, other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.engine.RemoveImage(context.Background(), other, docker.RemoveImageOptions{}) })
	main(p).Image = other
	if _, err := c.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("upd", "updated", patience, func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.RestartCount == 1 && s.State.Running != nil && s.Image == other
	})
}

func testStartOver(t *testing.T, c *cluster) {
	never := v1.ContainerRestartPolicyNever
	c.pod("over", func(p *v1.Pod) {
		usualVolumes(p)
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		init := c.container("init", "echo x >> /d/inits")
		init.VolumeMounts = main(p).VolumeMounts
		p.Spec.InitContainers = []v1.Container{init}
		trigger := c.container("trigger", "stat /d/done && { "+forever+"; }; touch /d/done; sleep 2; exit 42")
		trigger.VolumeMounts = main(p).VolumeMounts
		trigger.RestartPolicy = &never
		trigger.RestartPolicyRules = []v1.ContainerRestartRule{{
			Action:    v1.ContainerRestartRuleActionRestartAllContainers,
			ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
		}}
		p.Spec.Containers = append(p.Spec.Containers, trigger)
	})
	p := c.until("over", "started over", patience, func(p *v1.Pod) bool {
		return status(p, "main").RestartCount == 1 && status(p, "trigger").RestartCount == 1 && ready(p)
	})
	if got := c.exec("over", "main", "cat", "/d/inits"); got != "x\nx" {
		t.Errorf("init containers ran: %q", got)
	}
	if status(p, "init").RestartCount != 1 {
		t.Errorf("%+v", status(p, "init"))
	}
}

// testStartOverOfASidecar: by the restart policy alone the pod would have ended once its regular container was stopped.
func testStartOverOfASidecar(t *testing.T, c *cluster) {
	always := v1.ContainerRestartPolicyAlways
	c.pod("sideover", func(p *v1.Pod) {
		usualVolumes(p)
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		trigger := c.container("trigger", "stat /d/done && { "+forever+"; }; touch /d/done; sleep 2; exit 42")
		trigger.VolumeMounts = main(p).VolumeMounts
		trigger.RestartPolicy = &always
		trigger.RestartPolicyRules = []v1.ContainerRestartRule{{
			Action:    v1.ContainerRestartRuleActionRestartAllContainers,
			ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
		}}
		p.Spec.InitContainers = []v1.Container{trigger}
	})
	c.until("sideover", "started over", patience, func(p *v1.Pod) bool {
		return status(p, "main").RestartCount == 1 && status(p, "trigger").RestartCount == 1 && ready(p)
	})
}

// testUnmakeable: what the engine refuses to create, and images that have no name, with kubelet's reasons.
func testUnmakeable(t *testing.T, c *cluster) {
	c.pod("workdir", func(p *v1.Pod) { main(p).WorkingDir = "relative" })
	c.pod("misnamed", func(p *v1.Pod) { main(p).Image = "Not/An:image:name" })
	for name, reason := range map[string]string{"workdir": "CreateContainerError", "misnamed": "InvalidImageName"} {
		p := c.until(name, "refused", patience, func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && w.Reason == reason
		})
		if p.Status.Phase != v1.PodPending {
			t.Errorf("%s: %s", name, p.Status.Phase)
		}
	}
}
