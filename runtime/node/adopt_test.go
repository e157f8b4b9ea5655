package node

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/runtime/docker"
)

func (c *cluster) ids() []string {
	list, err := c.engine.ListContainers(context.Background(), docker.ListOptions{Labels: map[string]string{docker.LabelProfile: c.profile}})
	if err != nil {
		c.t.Fatal(err)
	}
	var out []string
	for _, k := range list {
		out = append(out, k.ID)
	}
	slices.Sort(out)
	return out
}

func TestARestartedDaemonAdoptsAndRestartsNothing(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.pod("a", func(p *v1.Pod) {
		main(p).ReadinessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 3, SuccessThreshold: 1,
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/true"}}}}
	})
	c.pod("gone", nil)
	c.pod("crashed", func(p *v1.Pod) { script(p, "exit 1") })
	c.until("a", "ready", patience, ready)
	c.until("gone", "ready", patience, ready)
	c.until("crashed", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
	before := c.get("a")
	c.stopAgent()

	// While nobody looks, a pod is force-deleted.
	if err := c.client.CoreV1().Pods("default").Delete(context.Background(), "gone", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.run()
	// An exec that came with the start was told that the container is not running.
	if p := (view{c.agent}).Pod(context.Background(), "default", "a"); p == nil {
		t.Error("right after the start the node has no pod a")
	} else if k, ok := (view{c.agent}).Container(p, "main", false); !ok || !k.Running {
		t.Errorf("right after the start, the container of pod a is %+v, %v", k, ok)
	}
	c.until("crashed", "restarted again", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount == 2 })
	after := c.get("a")
	if !ready(after) || status(after, "main").ContainerID != status(before, "main").ContainerID || status(after, "main").RestartCount != 0 {
		t.Errorf("before %+v\nafter %+v", before.Status, after.Status)
	}
	if before.Status.Conditions[2].LastTransitionTime != after.Status.Conditions[2].LastTransitionTime {
		t.Error("the pod was unready for a moment")
	}
	deadline := time.Now().Add(patience)
	for {
		left := strings.Join(c.left(), "\n")
		if !strings.Contains(left, "_gone_") && !strings.Contains(left, "k8s_gone-") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the orphan stayed:\n%s", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestAKilledSandboxRebuildsThePodAndARemovedContainerComesBack(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.pod("a", nil)
	c.pod("b", nil)
	p := c.until("a", "ready", patience, ready)
	b := c.until("b", "ready", patience, ready)
	ctx := context.Background()
	sandbox, _, _ := view{c.agent}.Sandbox(p)
	if err := c.engine.KillContainer(ctx, sandbox, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimPrefix(status(b, "main").ContainerID, "docker://")
	if err := c.engine.RemoveContainer(ctx, id, docker.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	c.until("a", "rebuilt", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 && ready(p) })
	c.until("b", "back", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 && ready(p) })
	now, _, _ := view{c.agent}.Sandbox(p)
	if now == sandbox {
		t.Error("the sandbox is the same")
	}
	for _, name := range []string{"a", "b"} {
		c.remove(name, 1)
		c.until(name, "gone", patience, gone)
	}
	c.untilNothingLeft()
}
