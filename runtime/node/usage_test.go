package node

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// testScores: the kernel is told whom to kill first, by the class of the pod.
func testScores(t *testing.T, c *cluster) {
	info, err := c.engine.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	const request = 1 << 30
	burstable := strconv.FormatInt(1000-1000*request/info.Memory, 10)
	list := v1.ResourceList{v1.ResourceCPU: resource.MustParse("100m"), v1.ResourceMemory: resource.MustParse("64Mi")}
	for name, pod := range map[string]struct {
		resources v1.ResourceRequirements
		want      []string
	}{
		"best-effort": {want: []string{"1000"}},
		"burstable":   {v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceMemory: *resource.NewQuantity(request, resource.BinarySI)}}, []string{burstable}},
		// Not every engine may protect a process.
		"guaranteed": {v1.ResourceRequirements{Requests: list, Limits: list}, []string{"-997", "0"}},
	} {
		c.pod("score-"+name, func(p *v1.Pod) { main(p).Resources = pod.resources })
		c.until("score-"+name, "ready", patience, ready)
		got := c.exec("score-"+name, "main", "cat", "/proc/1/oom_score_adj")
		if !strings.Contains(" "+strings.Join(pod.want, " ")+" ", " "+got+" ") {
			t.Errorf("%s: OOM score %s, want %v", name, got, pod.want)
		}
	}
}

// testPodResources: the engine has no cgroup for a pod, so its limits bound each container that has none of its own.
func testPodResources(t *testing.T, c *cluster) {
	c.needsCgroups()
	own := v1.ResourceList{v1.ResourceMemory: resource.MustParse("32Mi")}
	c.pod("podlevel", func(p *v1.Pod) {
		p.Spec.Resources = &v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceCPU: resource.MustParse("500m"), v1.ResourceMemory: resource.MustParse("96Mi")}}
		side := c.container("side", forever)
		side.Resources.Limits = own
		p.Spec.Containers = append(p.Spec.Containers, side)
	})
	p := c.until("podlevel", "ready", patience, ready)
	for name, memory := range map[string]int64{"main": 96 << 20, "side": 32 << 20} {
		k, err := c.engine.InspectContainer(context.Background(), strings.TrimPrefix(status(p, name).ContainerID, "docker://"))
		if err != nil || k.Resources.Memory != memory || k.Resources.CPUQuota != 50000 {
			t.Errorf("%s: %+v, %v", name, k.Resources, err)
		}
	}
}

// testWorkingSet: what `kubectl top` shows is what the pod can't give back, without the page cache of files it has read.
func testWorkingSet(t *testing.T, c *cluster) {
	c.needsCgroups()
	const held, cached = 30 << 20, 100 << 20
	c.pod("eater", func(p *v1.Pod) {
		script(p, "head -c "+strconv.Itoa(held)+" /dev/zero > /dev/shm/held; head -c "+strconv.Itoa(cached)+" /dev/zero > /file; cat /file > /dev/null; touch /tmp/done; "+forever)
		main(p).ReadinessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 30, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/stat", "/tmp/done"}}}}
	})
	p := c.until("eater", "ready", patience, ready)
	var got uint64
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		for _, s := range c.agent.Summary(context.Background()).Pods {
			if s.PodRef.UID == string(p.UID) && s.Memory != nil && s.Memory.WorkingSetBytes != nil {
				got = *s.Memory.WorkingSetBytes
			}
		}
		if got >= held && got < held+cached/2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a working set of %d MiB, for %d held and %d read", got>>20, held>>20, cached>>20)
		}
	}
}
