package daemon

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestPodHealthNamesOnlyWhatIsNotWell(t *testing.T) {
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: status, Reason: reason}
	}
	waiting := func(reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
	}
	pods := map[string]corev1.PodStatus{
		"ready":         {Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{condition(corev1.PodReady, corev1.ConditionTrue, "")}},
		"done":          {Phase: corev1.PodSucceeded},
		"starting":      {Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating")}},
		"no-image":      {Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting("ImagePullBackOff")}},
		"not-ready":     {Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{condition(corev1.PodReady, corev1.ConditionFalse, "ContainersNotReady")}},
		"unschedulable": {Phase: corev1.PodPending, Conditions: []corev1.PodCondition{condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable")}},
		"evicted":       {Phase: corev1.PodFailed, Reason: "Evicted"},
	}
	want := map[string]string{
		"pod/default/no-image": "ImagePullBackOff", "pod/default/not-ready": "ContainersNotReady",
		"pod/default/unschedulable": "Unschedulable", "pod/default/evicted": "Evicted",
	}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for name, status := range pods {
		if err := index.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Status: status}); err != nil {
			t.Fatal(err)
		}
	}
	counts, problems, err := podHealth(corelisters.NewPodLister(index))
	if err != nil {
		t.Fatal(err)
	}
	if counts.Total != len(pods) || counts.Ready != 1 || counts.Completed != 1 {
		t.Errorf("counts = %+v", counts)
	}
	got := map[string]string{}
	for _, p := range problems {
		got[p.Object] = p.Reason
	}
	if len(got) != len(want) {
		t.Errorf("problems = %v, want %v", got, want)
	}
	for object, reason := range want {
		if got[object] != reason {
			t.Errorf("%s: reason %q, want %q", object, got[object], reason)
		}
	}
}
