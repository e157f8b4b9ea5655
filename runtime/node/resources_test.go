package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func testOOM(t *testing.T, c *cluster) {
	c.needsCgroups()
	c.pod("oom", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		main(p).Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("16Mi")}
		script(p, "exec tail /dev/zero")
	})
	p := c.until("oom", "failed", patience, phase(v1.PodFailed))
	if s := status(p, "main"); s.State.Terminated.Reason != "OOMKilled" || s.State.Terminated.ExitCode != 137 {
		t.Errorf("%+v", s.State.Terminated)
	}
}

func testGuaranteed(t *testing.T, c *cluster) {
	c.needsCgroups()
	c.pod("qos", func(p *v1.Pod) {
		list := v1.ResourceList{v1.ResourceCPU: resource.MustParse("500m"), v1.ResourceMemory: resource.MustParse("64Mi")}
		main(p).Resources = v1.ResourceRequirements{Requests: list, Limits: list}
	})
	p := c.until("qos", "ready", patience, ready)
	if p.Status.QOSClass != v1.PodQOSGuaranteed {
		t.Error(p.Status.QOSClass)
	}
	k, err := c.engine.InspectContainer(context.Background(), strings.TrimPrefix(status(p, "main").ContainerID, "docker://"))
	if err != nil {
		t.Fatal(err)
	}
	if r := k.Resources; r.Memory != 64<<20 || r.CPUQuota != 50000 || r.CPUShares != 512 {
		t.Errorf("%+v", r)
	}
}

func testResize(t *testing.T, c *cluster) {
	c.needsCgroups()
	limit := func(cpu, memory string) v1.ResourceRequirements {
		return v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse(memory)}}
	}
	c.pod("big", func(p *v1.Pod) {
		main(p).Resources = limit("500m", "64Mi")
		side := c.container("side", forever)
		side.Resources = limit("500m", "64Mi")
		side.ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceMemory, RestartPolicy: v1.RestartContainer}}
		p.Spec.Containers = append(p.Spec.Containers, side)
	})
	p := c.until("big", "ready", patience, ready)
	id := strings.TrimPrefix(status(p, "main").ContainerID, "docker://")
	p.Spec.Containers[0].Resources = limit("1", "128Mi")
	p.Spec.Containers[1].Resources = limit("500m", "128Mi")
	if _, err := c.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	p = c.until("big", "resized", patience, func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.Resources != nil && s.Resources.Limits.Memory().Value() == 128<<20 && status(p, "side").RestartCount == 1 && ready(p)
	})
	if status(p, "main").RestartCount != 0 {
		t.Error("main was restarted")
	}
	k, err := c.engine.InspectContainer(context.Background(), id)
	if err != nil || k.Resources.Memory != 128<<20 || k.Resources.CPUQuota != 100000 {
		t.Errorf("%+v %v", k.Resources, err)
	}
}

func testEvict(t *testing.T, c *cluster) {
	c.pod("evict", nil)
	c.until("evict", "ready", patience, ready)
	c.agent.worker("default", "evict").Evict("Evicted", "The node was low on resource: memory.")
	p := c.until("evict", "evicted", patience, func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodFailed && status(p, "main").State.Terminated != nil
	})
	if p.Status.Reason != "Evicted" {
		t.Errorf("%+v", p.Status)
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == v1.DisruptionTarget && cond.Status == v1.ConditionTrue && cond.Reason == "TerminationByKubelet" {
			return
		}
	}
	t.Errorf("no DisruptionTarget: %+v", p.Status.Conditions)
}

func TestFiftyContainersInOnePod(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.pod("many", func(p *v1.Pod) {
		p.Spec.Containers = nil
		for i := range 50 {
			p.Spec.Containers = append(p.Spec.Containers, c.container(fmt.Sprintf("c%d", i), "exec sleep 1000"))
		}
	})
	start := time.Now()
	c.until("many", "ready", 3*time.Minute, ready)
	t.Logf("50 containers ready after %v", time.Since(start))
	c.remove("many", 0)
	c.until("many", "gone", 2*time.Minute, gone)
	c.untilNothingLeft()
}
