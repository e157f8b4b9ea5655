package nodes

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestAdmission(t *testing.T) {
	node := func(taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"disk": "ssd", corev1.LabelOSStable: "linux"}},
			Spec:       corev1.NodeSpec{Taints: taints, Unschedulable: true},
			Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("3"),
			}},
		}
	}
	pod := func(change func(*corev1.PodSpec)) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}}}
		if change != nil {
			change(&p.Spec)
		}
		return p
	}
	wants := func(name corev1.ResourceName, amount string) *corev1.Pod {
		return pod(func(s *corev1.PodSpec) {
			s.Containers[0].Resources.Requests = corev1.ResourceList{name: resource.MustParse(amount)}
		})
	}
	port := func(number int32, ip string) *corev1.Pod {
		return pod(func(s *corev1.PodSpec) {
			s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: number, HostIP: ip, Protocol: corev1.ProtocolTCP}}
		})
	}
	selects := func(value string) *corev1.Pod {
		return pod(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"disk": value} })
	}
	execute := corev1.Taint{Key: "broken", Effect: corev1.TaintEffectNoExecute}
	for _, test := range []struct {
		name    string
		node    *corev1.Node
		pod     *corev1.Pod
		others  []*corev1.Pod
		reason  string
		message string
	}{
		{name: "a cordoned node runs what is bound to it all the same", node: node(), pod: pod(nil)},
		{name: "the same host port", node: node(), pod: port(8080, ""), others: []*corev1.Pod{port(8080, "127.0.0.1")}, reason: "NodePorts", message: "didn't have free ports"},
		{name: "another host port", node: node(), pod: port(8080, ""), others: []*corev1.Pod{port(8081, "")}},
		{name: "more than there is", node: node(), pod: wants(corev1.ResourceCPU, "3"), reason: "OutOfcpu", message: "requested: 3000, used: 0, capacity: 2000"},
		{name: "more than is left", node: node(), pod: wants(corev1.ResourceMemory, "600Mi"), others: []*corev1.Pod{wants(corev1.ResourceMemory, "600Mi")}, reason: "OutOfmemory", message: "memory"},
		{name: "too many pods", node: node(), pod: pod(nil), others: []*corev1.Pod{pod(nil), pod(nil), pod(nil)}, reason: "OutOfpods", message: "capacity: 3"},
		{name: "an extended resource that the node has never heard of may be the cluster's", node: node(), pod: wants("example.com/gpu", "1")},
		{name: "a label that the node has", node: node(), pod: selects("ssd")},
		{name: "a label that the node has not", node: node(), pod: selects("hdd"), reason: "NodeAffinity", message: "node affinity/selector"},
		{name: "an operating system that the node has", node: node(), pod: pod(func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Linux} })},
		{name: "an operating system that the node has not", node: node(), pod: pod(func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Windows} }),
			reason: "PodOSNotSupported", message: "doesn't match node OS"},
		{name: "groups without those of the image, which the node can't do", node: node(), pod: pod(func(s *corev1.PodSpec) {
			s.SecurityContext = &corev1.PodSecurityContext{SupplementalGroupsPolicy: ptr.To(corev1.SupplementalGroupsPolicyStrict)}
		}), reason: "SupplementalGroupsPolicyNotSupported", message: "Strict"},
		{name: "a taint that drives pods away", node: node(execute), pod: pod(nil), reason: "TaintToleration", message: "taint"},
		{name: "a taint that keeps new ones away", node: node(corev1.Taint{Key: "full", Effect: corev1.TaintEffectNoSchedule}), pod: pod(nil)},
		{name: "a taint that is tolerated", node: node(execute), pod: pod(func(s *corev1.PodSpec) {
			s.Tolerations = []corev1.Toleration{{Key: "broken", Operator: corev1.TolerationOpExists}}
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			reason, message := Admit(test.node, test.pod, test.others)
			if reason != test.reason || !strings.Contains(message, test.message) || reason == "" && message != "" {
				t.Errorf("%q, %q", reason, message)
			}
		})
	}
}
