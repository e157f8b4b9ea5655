package node

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/runtime/runtimetest/privateengine"
)

// newPrivateCluster is a node on an engine that nobody else uses. Its pods' addresses can't be dialled from here.
func newPrivateCluster(t *testing.T, opts privateengine.Options) (*cluster, *privateengine.Engine) {
	t.Helper()
	private := privateengine.Start(t, opts)
	engine := private.Connect()
	const ref = "skiff.local/t-pod:busybox"
	if err := importBusybox(engine, ref, nil); err != nil {
		t.Fatal(err)
	}
	return newClusterOn(t, engine, ref), private
}

// diary is a pod that writes a line into each of its volumes whenever it starts.
func diary(p *v1.Pod) {
	usualVolumes(p)
	p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: "m", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}})
	main(p).VolumeMounts = append(main(p).VolumeMounts, v1.VolumeMount{Name: "m", MountPath: "/m"})
	script(p, "echo start >> /d/diary; echo start >> /m/diary; "+forever)
}

func TestAnEngineThatWasAwayGetsItsPodsBack(t *testing.T) {
	c, private := newPrivateCluster(t, privateengine.Options{})
	c.run()
	c.pod("kept", diary)
	c.pod("done", func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever; script(p, "echo the work is done") })
	c.until("kept", "ready", patience, ready)
	c.until("done", "succeeded", patience, phase(v1.PodSucceeded))

	for i, end := range []func(){private.Down, private.Kill} {
		end()
		// A pod that is asked for meanwhile waits, with the reason.
		meanwhile := []string{"while-stopped", "while-killed"}[i]
		c.pod(meanwhile, nil)
		c.untilEvent(meanwhile, "Cannot connect to the Docker daemon")
		private.Up()
		start := time.Now()
		c.until("kept", "rebuilt", patience, func(p *v1.Pod) bool { return int(status(p, "main").RestartCount) == i+1 && ready(p) })
		c.until(meanwhile, "ready", patience, ready)
		t.Logf("rebuilt %v after the engine was back", time.Since(start))
		if got, want := c.exec("kept", "main", "cat", "/d/diary"), strings.TrimSpace(strings.Repeat("start\n", i+2)); got != want {
			t.Errorf("the volume on disk has %q, not %q", got, want)
		}
		// An engine that stops takes its memory along. One that is killed may leave the mount: Docker 28 does, 20.10 doesn't.
		if got := c.exec("kept", "main", "cat", "/m/diary"); got != "start" && (i == 0 || got != "start\nstart") {
			t.Errorf("the volume in memory has %q", got)
		}
	}
	if p := c.get("done"); p.Status.Phase != v1.PodSucceeded || status(p, "main").RestartCount != 0 {
		t.Errorf("a pod that had ended: %+v", p.Status)
	}
	for _, name := range []string{"kept", "done", "while-stopped", "while-killed"} {
		c.remove(name, 1)
		c.until(name, "gone", patience, gone)
	}
	c.untilNothingLeft()
}

// With live-restore containers outlive their engine: then nothing is restarted.
func TestAnEngineThatKeepsItsContainersRestartsNothing(t *testing.T) {
	c, private := newPrivateCluster(t, privateengine.Options{Args: []string{"--live-restore"}})
	c.run()
	c.pod("alive", diary)
	before := c.until("alive", "ready", patience, ready)
	private.Down()
	private.Up()
	// Something that needs the engine, to know that the node is past the gap.
	c.pod("next", nil)
	c.until("next", "ready", patience, ready)
	after := c.get("alive")
	if !ready(after) || status(after, "main").RestartCount != 0 || status(after, "main").ContainerID != status(before, "main").ContainerID {
		t.Errorf("before %+v\nafter %+v", before.Status, after.Status)
	}
	if got := c.exec("alive", "main", "cat", "/m/diary"); got != "start" {
		t.Errorf("the pod ran %q", got)
	}
}

func TestAFullDiskIsSaidAndRecovers(t *testing.T) {
	c, private := newPrivateCluster(t, privateengine.Options{DiskSize: "64m"})
	c.lookPeriod = 500 * time.Millisecond
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: testNode}}
	if _, err := c.client.CoreV1().Nodes().Create(context.Background(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.pod("modest", nil)
	c.until("modest", "ready", patience, ready)
	c.pod("done", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		usualVolumes(p)
		script(p, "head -c 4000000 /dev/zero > /x; head -c 4000000 /dev/zero > /d/x; exit 3")
	})
	c.until("done", "failed", patience, phase(v1.PodFailed))
	c.untilCondition(v1.NodeDiskPressure, v1.ConditionFalse)

	// Before anybody has to yield, what nobody runs any more does.
	more := private.Data() + "/more-photographs"
	private.Run("sh", "-c", "dd if=/dev/zero of="+more+" bs=1M || true")
	c.untilCondition(v1.NodeDiskPressure, v1.ConditionTrue)
	c.untilCondition(v1.NodeDiskPressure, v1.ConditionFalse)
	c.untilGoneFromEngine("done")
	if p := c.get("done"); p.Status.Phase != v1.PodFailed || status(p, "main").State.Terminated == nil || status(p, "main").State.Terminated.ExitCode != 3 {
		t.Errorf("what was reclaimed of a pod changed its status: %+v", p.Status)
	}
	if !ready(c.get("modest")) {
		t.Error("a pod was evicted although there was something dead to remove")
	}

	// Somebody fills the disk, and it is not a pod: nobody is to blame, but the pods have to yield.
	fill := private.Data() + "/photographs"
	private.Run("sh", "-c", "dd if=/dev/zero of="+fill+" bs=1M || true")
	c.untilCondition(v1.NodeDiskPressure, v1.ConditionTrue)
	p := c.until("modest", "evicted", patience, phase(v1.PodFailed))
	if p.Status.Reason != "Evicted" || !strings.Contains(p.Status.Message, "low on resource: ephemeral-storage") {
		t.Errorf("%s: %q", p.Status.Reason, p.Status.Message)
	}
	c.pod("late", usualVolumes)
	c.untilEvent("late", "no space left on device")

	private.Run("rm", fill, more)
	c.until("late", "ready", patience, ready)
	c.untilCondition(v1.NodeDiskPressure, v1.ConditionFalse)

	// Now a pod fills it: that one goes, and not its neighbour.
	c.pod("greedy", func(p *v1.Pod) {
		usualVolumes(p)
		script(p, "cat /dev/zero > /d/x; "+forever)
	})
	p = c.until("greedy", "evicted", patience, phase(v1.PodFailed))
	if p.Status.Reason != "Evicted" {
		t.Errorf("%s: %q", p.Status.Reason, p.Status.Message)
	}
	c.untilCondition(v1.NodeDiskPressure, v1.ConditionFalse)
	if !ready(c.get("late")) {
		t.Error("the neighbour was evicted as well")
	}
}

func (c *cluster) untilCondition(kind v1.NodeConditionType, want v1.ConditionStatus) {
	c.t.Helper()
	var last *v1.Node
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		node, err := c.client.CoreV1().Nodes().Get(context.Background(), testNode, metav1.GetOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, cond := range node.Status.Conditions {
			if cond.Type == kind && cond.Status == want {
				return
			}
		}
		last = node
	}
	c.t.Fatalf("%s is not %s: %+v", kind, want, last.Status.Conditions)
}
