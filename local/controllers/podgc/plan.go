package podgc

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// quarantine is how long a node must be missing before its pods are taken for orphans; upstream's figure.
	quarantine = 40 * time.Second
	// maxFinished is how many finished pods are kept. Each keeps its containers in the engine, which gets slow with
	// thousands of them. Upstream keeps 12500.
	maxFinished = 1000
)

// cause is why a pod is collected.
type cause string

const (
	surplus     cause = "PodGC: more finished pods than are kept"
	orphaned    cause = "PodGC: node no longer exists"
	unscheduled cause = "PodGC: terminating before it was scheduled"
)

// deletion is one pod to delete, without grace.
type deletion struct {
	pod   *corev1.Pod
	cause cause
}

// plan returns the pods to delete now, and when to look again because of nodes that are missing but not yet for long
// enough; zero when there are none. missing holds since when each node is missing; plan keeps it up to date.
func plan(pods []*corev1.Pod, nodes map[string]bool, missing map[string]time.Time, now time.Time) (deletions []deletion, again time.Duration) {
	still := make(map[string]bool)
	var finished []*corev1.Pod
	for _, p := range pods {
		switch node := p.Spec.NodeName; {
		case node == "" && p.DeletionTimestamp != nil && len(p.Finalizers) == 0:
			deletions = append(deletions, deletion{p, unscheduled})
		case node != "" && !nodes[node]:
			still[node] = true
			if _, known := missing[node]; !known {
				missing[node] = now
			}
			wait := quarantine - now.Sub(missing[node])
			if wait <= 0 {
				deletions = append(deletions, deletion{p, orphaned})
			} else if again == 0 || wait < again {
				again = wait
			}
		case finishedPhase(p.Status.Phase) && p.DeletionTimestamp == nil:
			finished = append(finished, p)
		}
	}
	for node := range missing {
		if !still[node] {
			delete(missing, node)
		}
	}
	if n := len(finished) - maxFinished; n > 0 {
		slices.SortFunc(finished, func(a, b *corev1.Pod) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		for _, p := range finished[:n] {
			deletions = append(deletions, deletion{p, surplus})
		}
	}
	return deletions, again
}

func finishedPhase(p corev1.PodPhase) bool { return p == corev1.PodSucceeded || p == corev1.PodFailed }
