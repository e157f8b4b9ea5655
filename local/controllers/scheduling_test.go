package controllers_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/controllers/nodes"
)

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	template := podTemplate(name)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: template.Labels}, Spec: template.Spec}
	for _, f := range change {
		f(p)
	}
	return p
}

func requests(cpu string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
}

func onNode(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: name} }
}

func (c *cluster) create(t *testing.T, ns string, p *corev1.Pod) {
	t.Helper()
	_, err := c.client.CoreV1().Pods(ns).Create(t.Context(), p, metav1.CreateOptions{})
	check(t, err)
}

// waitPending waits until the scheduler has said why the pod fits nowhere.
func (c *cluster) waitPending(t *testing.T, ns, name string) {
	t.Helper()
	eventually(t, "pod "+name+" to be unschedulable", func() (bool, string) {
		p, err := c.client.CoreV1().Pods(ns).Get(t.Context(), name, metav1.GetOptions{})
		check(t, err)
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodScheduled && cond.Reason == corev1.PodReasonUnschedulable {
				return true, ""
			}
		}
		return false, fmt.Sprintf("on node %q, %+v", p.Spec.NodeName, p.Status.Conditions)
	})
}

func testPodTooLarge(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.create(t, ns, pod("huge", requests("64")))
	c.waitPending(t, ns, "huge")
	eventually(t, "an event that says why", func() (bool, string) { return c.hasEvent(t, ns, "huge", "FailedScheduling") })
}

func testAntiAffinity(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	apart := func(template *corev1.PodTemplateSpec) {
		template.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: selector("apart"), TopologyKey: corev1.LabelHostname,
		}}}}
	}
	_, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("apart", 4, apart), metav1.CreateOptions{})
	check(t, err)
	eventually(t, "three pods on three nodes and a fourth without one", func() (bool, string) {
		on, pending := map[string]int{}, 0
		for _, p := range c.pods(t, ns) {
			if p.Spec.NodeName == "" {
				pending++
			} else {
				on[p.Spec.NodeName]++
			}
		}
		return len(on) == 3 && pending == 1, fmt.Sprintf("%v, %d pending", on, pending)
	})
}

func testSpread(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	spread := func(template *corev1.PodTemplateSpec) {
		template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector("spread"),
		}}
	}
	_, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("spread", 6, spread), metav1.CreateOptions{})
	check(t, err)
	c.waitDeployment(t, ns, "spread", 6)
	on := map[string]int{}
	for _, p := range c.pods(t, ns) {
		on[p.Spec.NodeName]++
	}
	if on["skiff"] != 2 || on["skiff-2"] != 2 || on["skiff-3"] != 2 {
		t.Errorf("six pods were spread %v", on)
	}
}

// testMaintenance is what disturbs other tests: it changes nodes. It runs after all of them.
func testMaintenance(t *testing.T, c *cluster) {
	t.Run("a cordoned node gets the taint unschedulable and no pods", func(t *testing.T) { testCordon(t, c) })
	t.Run("a NoExecute taint evicts who does not tolerate it", func(t *testing.T) { testTaintEviction(t, c) })
	t.Run("a pod with a higher priority preempts", func(t *testing.T) { testPreemption(t, c) })
	t.Run("an engine that is gone makes all nodes not ready and evicts nobody", func(t *testing.T) { testEngineGone(t, c) })
	t.Run("pods of a node that is gone are collected", func(t *testing.T) { testNodeGone(t, c) })
}

func (c *cluster) updateNode(t *testing.T, name string, change func(*corev1.Node)) {
	t.Helper()
	eventually(t, "node "+name+" to be updated", func() (bool, string) {
		n, err := c.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		check(t, err)
		change(n)
		_, err = c.client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{})
		return err == nil, fmt.Sprint(err)
	})
}

func (c *cluster) hasTaint(t *testing.T, node, key string) bool {
	t.Helper()
	n, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	check(t, err)
	for _, taint := range n.Spec.Taints {
		if taint.Key == key && taint.Effect == corev1.TaintEffectNoSchedule {
			return true
		}
	}
	return false
}

func testCordon(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.updateNode(t, "skiff-2", func(n *corev1.Node) { n.Spec.Unschedulable = true })
	eventually(t, "the taint", func() (bool, string) { return c.hasTaint(t, "skiff-2", corev1.TaintNodeUnschedulable), "" })
	c.create(t, ns, pod("there", onNode("skiff-2")))
	c.waitPending(t, ns, "there")
	c.updateNode(t, "skiff-2", func(n *corev1.Node) { n.Spec.Unschedulable = false })
	c.waitRunning(t, ns, "there")
	if c.hasTaint(t, "skiff-2", corev1.TaintNodeUnschedulable) {
		t.Error("the taint stayed after uncordon")
	}
}

func testTaintEviction(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	tolerates := func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: "maintenance", Operator: corev1.TolerationOpExists}}
	}
	c.create(t, ns, pod("plain", onNode("skiff-3")))
	c.create(t, ns, pod("tolerant", onNode("skiff-3"), tolerates))
	c.waitRunning(t, ns, "plain")
	c.waitRunning(t, ns, "tolerant")
	c.updateNode(t, "skiff-3", func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "maintenance", Effect: corev1.TaintEffectNoExecute})
	})
	eventually(t, "only the tolerant pod to be left", func() (bool, string) {
		pods := c.pods(t, ns)
		return len(pods) == 1 && pods[0].Name == "tolerant", fmt.Sprint(len(pods))
	})
	c.updateNode(t, "skiff-3", func(n *corev1.Node) { n.Spec.Taints = nil })
	// The controller was made for the first taint and has seen those pods come. These it has to look up.
	c.create(t, ns, pod("next", onNode("skiff-3")))
	c.waitRunning(t, ns, "next")
	c.updateNode(t, "skiff-3", func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "maintenance", Effect: corev1.TaintEffectNoExecute})
	})
	eventually(t, "the pod that came between two taints to be evicted", func() (bool, string) {
		pods := c.pods(t, ns)
		return len(pods) == 1 && pods[0].Name == "tolerant", fmt.Sprint(len(pods))
	})
	c.updateNode(t, "skiff-3", func(n *corev1.Node) { n.Spec.Taints = nil })
}

func testPreemption(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.SchedulingV1().PriorityClasses().Create(t.Context(), &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent-" + ns}, Value: 1000}, metav1.CreateOptions{})
	check(t, err)
	patient := func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To[int64](0) }
	c.create(t, ns, pod("low", onNode("skiff-2"), requests("7"), patient))
	c.waitRunning(t, ns, "low")
	c.create(t, ns, pod("high", onNode("skiff-2"), requests("7"), func(p *corev1.Pod) { p.Spec.PriorityClassName = "urgent-" + ns }))
	c.waitRunning(t, ns, "high")
	for _, p := range c.pods(t, ns) {
		if p.Name == "low" && p.DeletionTimestamp == nil {
			t.Error("the pod of low priority is still there")
		}
	}
}

func testEngineGone(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.create(t, ns, pod("survivor"))
	c.waitRunning(t, ns, "survivor")
	check(t, c.nodes.SetReadiness(t.Context(), nodes.EngineDown("the Docker Engine does not run")))
	for _, n := range []string{"skiff", "skiff-2", "skiff-3"} {
		eventually(t, n+" to be tainted not-ready", func() (bool, string) { return c.hasTaint(t, n, corev1.TaintNodeNotReady), "" })
	}
	c.create(t, ns, pod("later"))
	c.waitPending(t, ns, "later")
	check(t, c.nodes.SetReadiness(t.Context(), nodes.Ready()))
	c.waitRunning(t, ns, "later")
	if p := c.waitRunning(t, ns, "survivor"); p.DeletionTimestamp != nil {
		t.Error("a pod was evicted because the engine was gone")
	}
}

// testNodeGone does not wait for the 40 s that a node has to be missing; the plan's own test does that.
func testNodeGone(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.create(t, ns, pod("nowhere", requests("64")))
	c.waitPending(t, ns, "nowhere")
	check(t, c.client.CoreV1().Pods(ns).Delete(t.Context(), "nowhere", metav1.DeleteOptions{}))
	eventually(t, "a pod that was never scheduled to be gone", func() (bool, string) {
		n := len(c.pods(t, ns))
		return n == 0, fmt.Sprint(n, " pods")
	})
}
