package daemon

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff.local/skiff/local/profile"
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
	owner := []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", Controller: new(true)}}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nope:1"}}}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for name, status := range pods {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", OwnerReferences: owner}, Spec: spec, Status: status}
		if err := index.Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	counts, problems, err := podHealth(&profile.Profile{Name: "blue"}, corelisters.NewPodLister(index))
	if err != nil {
		t.Fatal(err)
	}
	if counts.Total != len(pods) || counts.Ready != 1 || counts.Completed != 1 {
		t.Errorf("counts = %+v", counts)
	}
	for _, p := range problems {
		if isPull := p.Object == "pod/default/no-image"; isPull != (p.Image == "nope:1") || p.Owner != "ReplicaSet/web" || !strings.HasPrefix(p.Hint, "skiff -p blue why ") {
			t.Errorf("%s: image %q, owner %q, hint %q", p.Object, p.Image, p.Owner, p.Hint)
		}
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
