package nodes

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestPlanTaints(t *testing.T) {
	ready := func(s corev1.ConditionStatus) []corev1.NodeCondition {
		return []corev1.NodeCondition{{Type: corev1.NodeReady, Status: s}}
	}
	noSchedule := func(key string) corev1.Taint {
		return corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}
	}
	for _, test := range []struct {
		name        string
		node        corev1.Node
		add, remove []string
	}{
		{name: "a ready node has none", node: corev1.Node{Status: corev1.NodeStatus{Conditions: ready("True")}}},
		{
			name: "a node that is not ready is tainted",
			node: corev1.Node{Status: corev1.NodeStatus{Conditions: ready("False")}},
			add:  []string{corev1.TaintNodeNotReady},
		},
		{
			name: "not ready and unknown are two taints",
			node: corev1.Node{
				Spec:   corev1.NodeSpec{Taints: []corev1.Taint{noSchedule(corev1.TaintNodeNotReady)}},
				Status: corev1.NodeStatus{Conditions: ready("Unknown")},
			},
			add: []string{corev1.TaintNodeUnreachable}, remove: []string{corev1.TaintNodeNotReady},
		},
		{
			name: "cordon taints",
			node: corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true}, Status: corev1.NodeStatus{Conditions: ready("True")}},
			add:  []string{corev1.TaintNodeUnschedulable},
		},
		{
			name: "uncordon takes the taint away",
			node: corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{noSchedule(corev1.TaintNodeUnschedulable)}}, Status: corev1.NodeStatus{Conditions: ready("True")}},

			remove: []string{corev1.TaintNodeUnschedulable},
		},
		{
			name: "what users set is left alone",
			node: corev1.Node{
				Spec: corev1.NodeSpec{Taints: []corev1.Taint{
					noSchedule("mine"), {Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute},
				}},
				Status: corev1.NodeStatus{Conditions: ready("True")},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			add, remove := planTaints(&test.node)
			if diff := cmp.Diff(test.add, add); diff != "" {
				t.Errorf("to add (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.remove, remove); diff != "" {
				t.Errorf("to remove (-want +got):\n%s", diff)
			}
		})
	}
}

func newTestRegistry(t *testing.T, client *fake.Clientset, count int, now *time.Time) *Registry {
	t.Helper()
	r, err := New(Config{
		Client: client, Profile: "p", KubernetesVersion: "v1.36.3", IP: netip.MustParseAddr("10.244.0.1"), Nodes: Numbered("skiff", count),
		Engine: Engine{ID: "id", Version: "20.10", OS: "linux", Architecture: "arm64", CPUs: 4, Memory: 8 << 30},
		Now:    func() time.Time { return *now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func names(t *testing.T, client *fake.Clientset) map[string]corev1.Node {
	t.Helper()
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]corev1.Node)
	for _, n := range list.Items {
		m[n.Name] = n
	}
	return m
}

func TestRegistryKeepsWhatUsersSetAndWritesNothingTwice(t *testing.T) {
	client, now := fake.NewClientset(), time.Unix(1000, 0)
	if err := newTestRegistry(t, client, 2, &now).Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := names(t, client)["skiff"]
	if _, ok := n.Labels[labelControlPlane]; !ok || n.Labels[corev1.LabelArchStable] != "arm64" {
		t.Errorf("labels: %v", n.Labels)
	}
	n.Labels["disk"] = "ssd"
	n.Spec.Unschedulable = true
	if _, err := client.CoreV1().Nodes().Update(t.Context(), &n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	// A later start, with one node less.
	now = now.Add(time.Hour)
	client.ClearActions()
	if err := newTestRegistry(t, client, 1, &now).Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := names(t, client)
	if len(all) != 1 || all["skiff"].Labels["disk"] != "ssd" || !all["skiff"].Spec.Unschedulable {
		t.Errorf("nodes after a start with one node: %+v", all)
	}
	for _, a := range client.Actions() {
		if v := a.GetVerb(); v == "update" || v == "create" {
			t.Errorf("nothing had changed, yet there was an %s of %s %s", v, a.GetResource().Resource, a.GetSubresource())
		}
	}
}

func TestReadinessKeepsTheTimeOfItsTransition(t *testing.T) {
	client, now := fake.NewClientset(), time.Unix(1000, 0)
	r := newTestRegistry(t, client, 1, &now)
	steps := []struct {
		set    Readiness
		status corev1.ConditionStatus
		since  int64
	}{
		{Ready(), corev1.ConditionTrue, 1000},
		{EngineDown("stopped"), corev1.ConditionFalse, 1010},
		{EngineDown("still stopped"), corev1.ConditionFalse, 1010},
		{EngineUnreachable("no route"), corev1.ConditionUnknown, 1030},
		{Ready(), corev1.ConditionTrue, 1040},
	}
	for i, step := range steps {
		now = time.Unix(1000+10*int64(i), 0)
		if err := r.SetReadiness(t.Context(), step.set); err != nil {
			t.Fatal(err)
		}
		for _, c := range names(t, client)["skiff"].Status.Conditions {
			if c.Type == corev1.NodeReady && (c.Status != step.status || c.LastTransitionTime.Unix() != step.since || c.Message != step.set.Message) {
				t.Errorf("after step %d: %+v", i, c)
			}
		}
	}
}

func TestForeignNodesStay(t *testing.T) {
	client, now := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}}), time.Unix(1000, 0)
	if err := newTestRegistry(t, client, 1, &now).Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := names(t, client)["foreign"]; !ok {
		t.Error("a node that skiff did not register was deleted")
	}
}
