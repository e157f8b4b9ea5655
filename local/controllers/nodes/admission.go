package nodes

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"
	"k8s.io/utils/ptr"
)

// Admit is the check that kubelet makes of a pod that was bound to its node, which the scheduler need not have done: its
// operating system, node name, node selector and affinity, host ports, what it requests beside the others that the node runs, and
// taints that would drive it away at once. The reason is kubelet's word for what is wrong, and empty for a pod that may run.
func Admit(node *corev1.Node, pod *corev1.Pod, others []*corev1.Pod) (reason, message string) {
	if pod.Spec.OS != nil && string(pod.Spec.OS.Name) != node.Labels[corev1.LabelOSStable] {
		return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
	}
	if wantsOnlyItsGroups(pod) && (node.Status.Features == nil || !ptr.Deref(node.Status.Features.SupplementalGroupsPolicy, false)) {
		return "SupplementalGroupsPolicyNotSupported", "SupplementalGroupsPolicy=Strict is not supported in this node"
	}
	info := framework.NewNodeInfo(others...)
	info.SetNode(node)
	for _, r := range scheduler.AdmissionCheck(withoutUnknownResources(pod, info), info, false) {
		if short := r.InsufficientResource; short != nil {
			return "OutOf" + string(short.ResourceName), fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d",
				short.ResourceName, short.Requested, short.Used, short.Capacity)
		}
		return r.Name, fmt.Sprintf("Predicate %s failed: %s", r.Name, r.Reason)
	}
	drives := func(t *corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute }
	if _, found := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, pod.Spec.Tolerations, drives, true); found {
		return tainttoleration.Name, fmt.Sprintf("Predicate %s failed: %s", tainttoleration.Name, tainttoleration.ErrReasonNotMatch)
	}
	return "", ""
}

func wantsOnlyItsGroups(pod *corev1.Pod) bool {
	sc := pod.Spec.SecurityContext
	return sc != nil && ptr.Deref(sc.SupplementalGroupsPolicy, corev1.SupplementalGroupsPolicyMerge) == corev1.SupplementalGroupsPolicyStrict
}

// withoutUnknownResources leaves out extended resources that the node doesn't have: they may be the cluster's.
func withoutUnknownResources(pod *corev1.Pod, info *framework.NodeInfo) *corev1.Pod {
	pod = pod.DeepCopy()
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			for name := range containers[i].Resources.Requests {
				if _, known := info.Allocatable.GetScalarResources()[name]; !known && v1helper.IsExtendedResourceName(name) {
					delete(containers[i].Resources.Requests, name)
				}
			}
		}
	}
	return pod
}
