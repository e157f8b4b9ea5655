package podgc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPlan(t *testing.T) {
	start := time.Unix(1000, 0)
	deleted := metav1.NewTime(start)
	pod := func(name, node string, change ...func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{NodeName: node}}
		for _, f := range change {
			f(p)
		}
		return p
	}
	terminating := func(p *corev1.Pod) { p.DeletionTimestamp = &deleted }
	held := func(p *corev1.Pod) { p.Finalizers = []string{"someone/else"} }
	nodes := map[string]bool{"here": true}

	for _, test := range []struct {
		name    string
		pods    []*corev1.Pod
		missing map[string]time.Time
		want    string
		again   time.Duration
	}{
		{name: "a pod on its node stays", pods: []*corev1.Pod{pod("a", "here"), pod("b", "here", terminating)}},
		{name: "a pod that waits to be scheduled stays", pods: []*corev1.Pod{pod("a", "")}},
		{name: "a pod deleted before it was scheduled goes", pods: []*corev1.Pod{pod("a", "", terminating)}, want: "a: " + string(unscheduled)},
		{name: "unless somebody holds it", pods: []*corev1.Pod{pod("a", "", terminating, held)}},
		{name: "a node that has just gone may come back", pods: []*corev1.Pod{pod("a", "gone")}, again: quarantine},
		{name: "half way through the quarantine", pods: []*corev1.Pod{pod("a", "gone")}, missing: map[string]time.Time{"gone": start.Add(-quarantine / 2)}, again: quarantine / 2},
		{name: "after it the pod goes", pods: []*corev1.Pod{pod("a", "gone")}, missing: map[string]time.Time{"gone": start.Add(-quarantine)}, want: "a: " + string(orphaned)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.missing == nil {
				test.missing = map[string]time.Time{}
			}
			deletions, again := plan(test.pods, nodes, test.missing, start)
			if diff := cmp.Diff(test.want, text(deletions)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if again != test.again {
				t.Errorf("looks again in %s, want %s", again, test.again)
			}
		})
	}
}

func TestPlanForgetsNodesThatAreBack(t *testing.T) {
	missing := map[string]time.Time{"here": time.Unix(0, 0)}
	plan([]*corev1.Pod{{Spec: corev1.PodSpec{NodeName: "here"}}}, map[string]bool{"here": true}, missing, time.Unix(1000, 0))
	if len(missing) != 0 {
		t.Errorf("still missing: %v", missing)
	}
}

func TestPlanTakesTheOldestFinishedPods(t *testing.T) {
	var pods []*corev1.Pod
	for i := range maxFinished + 2 {
		pods = append(pods, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i), CreationTimestamp: metav1.Unix(int64(10000-i), 0)},
			Spec:       corev1.PodSpec{NodeName: "here"}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded},
		})
	}
	deletions, _ := plan(pods, map[string]bool{"here": true}, map[string]time.Time{}, time.Unix(20000, 0))
	want := fmt.Sprintf("p%d: %s\np%d: %s", maxFinished+1, surplus, maxFinished, surplus)
	if diff := cmp.Diff(want, text(deletions)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func text(deletions []deletion) string {
	var lines []string
	for _, d := range deletions {
		lines = append(lines, d.pod.Name+": "+string(d.cause))
	}
	return strings.Join(lines, "\n")
}
