package node

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
)

// TestRestarts follows containers that end by themselves, over a restart of the daemon.
func TestRestarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.run()
	never, onFailure, always := v1.ContainerRestartPolicyNever, v1.ContainerRestartPolicyOnFailure, v1.ContainerRestartPolicyAlways
	rule := []v1.ContainerRestartRule{{
		Action:    v1.ContainerRestartRuleActionRestart,
		ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42, 43}},
	}}
	c.pod("crash", func(p *v1.Pod) { script(p, "exit 1") })
	c.pod("rule", func(p *v1.Pod) {
		usualVolumes(p)
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		script(p, "stat /d/second && exit 0; touch /d/second; exit 42")
		main(p).RestartPolicy, main(p).RestartPolicyRules = &never, rule
	})
	c.pod("other-code", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		script(p, "exit 44")
		main(p).RestartPolicy, main(p).RestartPolicyRules = &never, rule
	})
	c.pod("own-policy", func(p *v1.Pod) { // one container restarts where the pod never does, one ends where it fails
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		usualVolumes(p)
		script(p, "stat /d/second && { "+forever+"; }; touch /d/second; exit 1")
		main(p).RestartPolicy = &onFailure
		side := c.container("side", "exit 1")
		p.Spec.Containers = append(p.Spec.Containers, side)
	})
	c.pod("sidecar-dies", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		side := c.container("side", "sleep 1; exit 0")
		side.RestartPolicy = &always
		p.Spec.InitContainers = []v1.Container{side}
	})
	c.pod("lost", nil)
	long := strings.Repeat("0123456789", 500)
	c.pod("message", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		script(p, "echo -n "+long+" > /tmp/said; exit 1")
		main(p).TerminationMessagePath = "/tmp/said"
	})

	count := func(name string, n int32) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool { return status(p, name).RestartCount == n }
	}
	p := c.until("rule", "succeeded", patience, phase(v1.PodSucceeded))
	if s := status(p, "main"); s.RestartCount != 1 || s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 42 {
		t.Errorf("rule: %+v", s)
	}
	p = c.until("other-code", "failed", patience, phase(v1.PodFailed))
	if s := status(p, "main"); s.RestartCount != 0 || s.State.Terminated == nil || s.State.Terminated.ExitCode != 44 {
		t.Errorf("other-code: %+v", s)
	}
	p = c.until("own-policy", "restarted", patience, func(p *v1.Pod) bool {
		return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil && status(p, "side").State.Terminated != nil
	})
	if s := status(p, "side"); s.RestartCount != 0 || p.Status.Phase != v1.PodRunning {
		t.Errorf("own-policy: %s, %+v", p.Status.Phase, s)
	}
	c.until("sidecar-dies", "restarted", patience, func(p *v1.Pod) bool {
		return status(p, "side").RestartCount > 0 && status(p, "main").State.Running != nil && status(p, "main").RestartCount == 0
	})
	p = c.until("message", "failed", patience, phase(v1.PodFailed))
	if got := status(p, "main").State.Terminated.Message; got != long[len(long)-4096:] {
		t.Errorf("a termination message of %d bytes, want the last 4096, as kubelet reads it", len(got))
	}

	// The first restart is at once, the second after ten seconds, the third is to come after twenty.
	c.until("crash", "restarted twice", patience, count("main", 2))
	p = c.until("crash", "waiting again", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return count("main", 2)(p) && w != nil && strings.Contains(w.Message, "back-off 20s restarting failed container=main pod=crash_default")
	})
	id := strings.TrimPrefix(status(p, "main").ContainerID, "docker://")
	last, err := c.engine.InspectContainer(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	previous := c.containerOf("crash", 1)
	if pause := last.State.StartedAt.Sub(previous.State.FinishedAt); pause < 10*time.Second || pause > 25*time.Second {
		t.Errorf("the second restart came %v after the end", pause)
	}
	c.until("lost", "ready", patience, ready)
	c.stopAgent()
	if err := c.engine.RemoveContainer(context.Background(), c.containerOf("lost", 0).ID, docker.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.untilWhy("crash", "CrashLoopBackOff")
	p = c.get("crash")
	if s := status(p, "main"); s.RestartCount != 2 || s.State.Waiting == nil || !strings.Contains(s.State.Waiting.Message, "back-off 20s") || s.LastTerminationState.Terminated == nil {
		t.Errorf("after a restart of the daemon: %+v", s)
	}
	why, _ := c.agent.Why("default", "crash")
	if until := why.Waits[0].Until; until.Sub(last.State.FinishedAt) != 20*time.Second {
		t.Errorf("after a restart of the daemon the next start is %v after the end, want 20s", until.Sub(last.State.FinishedAt))
	}
	p = c.until("lost", "back", patience, func(p *v1.Pod) bool { return ready(p) && status(p, "main").RestartCount == 1 })
	if l := status(p, "main").LastTerminationState.Terminated; l == nil || l.Reason != "ContainerStatusUnknown" || l.ExitCode != 137 {
		t.Errorf("a container that went while no daemon looked: %+v", l)
	}
	// The daemon before had counted two of three restarts; the next pause is twice as long all the same.
	c.until("crash", "waiting longer", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return count("main", 3)(p) && w != nil && strings.Contains(w.Message, "back-off 40s restarting failed container=main pod=crash_default")
	})
	if s := status(c.get("own-policy"), "main"); s.RestartCount != 1 || s.State.Running == nil {
		t.Errorf("own-policy after a restart of the daemon: %+v", s)
	}
}
