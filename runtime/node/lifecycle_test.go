package node

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

func TestPodRunsAndGoes(t *testing.T) {
	c := newCluster(t)
	c.run()
	start := time.Now()
	c.pod("web", nil)
	p := c.until("web", "ready", 20*time.Second, ready)
	t.Logf("create to Ready: %v", time.Since(start))
	if p.Status.Phase != v1.PodRunning || p.Status.PodIP == "" || p.Status.HostIP != "10.244.0.1" {
		t.Errorf("status: %+v", p.Status)
	}
	for _, kind := range []v1.PodConditionType{v1.PodScheduled, v1.PodReadyToStartContainers, v1.PodInitialized, v1.ContainersReady, v1.PodReady} {
		if _, cond := podutil.GetPodCondition(&p.Status, kind); cond == nil || cond.Status != v1.ConditionTrue {
			t.Errorf("condition %s: %+v", kind, cond)
		}
	}
	if got := c.exec("web", "main", "hostname"); got != "web" {
		t.Errorf("hostname %q", got)
	}
	hosts := c.exec("web", "main", "cat", "/etc/hosts")
	if !strings.Contains(hosts, p.Status.PodIP+"\tweb") {
		t.Errorf("/etc/hosts:\n%s", hosts)
	}
	resolv := c.exec("web", "main", "cat", "/etc/resolv.conf")
	if resolv != "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.244.128.10\noptions ndots:5" {
		t.Errorf("/etc/resolv.conf:\n%s", resolv)
	}
	start = time.Now()
	c.remove("web", 5)
	c.until("web", "gone", 20*time.Second, gone)
	t.Logf("delete to gone: %v", time.Since(start))
	c.untilNothingLeft()
	for _, want := range []string{"Normal Pulled", "Normal Created: Container created", "Normal Started: Container started", "Normal Killing: Stopping container main"} {
		if !strings.Contains(c.eventsOf("web"), want) {
			t.Errorf("no event %q in\n%s", want, c.eventsOf("web"))
		}
	}
}
