package outcome

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// formerRevision reports whether a pod was made from what its StatefulSet was before the last change. The controller
// replaces such a pod only once it is ready, so one that is broken keeps the repair from coming until somebody deletes it
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
func formerRevision(owner *unstructured.Unstructured, pod *corev1.Pod) bool {
	if gk := owner.GroupVersionKind().GroupKind(); gk.Group != "apps" || gk.Kind != "StatefulSet" {
		return false
	}
	update := text(owner, "status", "updateRevision")
	return update != "" && pod.Labels[appsv1.StatefulSetRevisionLabel] != update
}

// heldBack says of a broken pod of a former revision what has to be done, whatever it is that broke it.
func heldBack(broken Trouble, pod *corev1.Pod) Trouble {
	return Trouble{
		Message: broken.Message + "; this pod is from before the change, and a StatefulSet waits for it to be ready: delete pod " + pod.Name + " to get the new one",
		Key:     "former revision " + pod.Name, Certain: true,
	}
}
