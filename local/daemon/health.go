package daemon

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// podHealth counts the pods and names those that are not well, with the reason their status gives.
func podHealth(p *profile.Profile, pods corelisters.PodLister) (client.PodCounts, []client.Problem, error) {
	list, err := pods.List(labels.Everything())
	if err != nil {
		return client.PodCounts{}, nil, fmt.Errorf("list pods: %w", err)
	}
	var counts client.PodCounts
	var problems []client.Problem
	for _, pod := range list {
		counts.Total++
		switch {
		case pod.Status.Phase == corev1.PodSucceeded:
			counts.Completed++
		case isReady(pod):
			counts.Ready++
		default:
			if problem, ok := podProblem(p, pod); ok {
				problems = append(problems, problem)
			}
		}
	}
	slices.SortFunc(problems, func(a, b client.Problem) int { return cmp.Compare(a.Object, b.Object) })
	return counts, problems, nil
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// imageReasons are those of a container that waits for its image.
var imageReasons = []string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}

func imageOf(pod *corev1.Pod, container string) string {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

// podProblem tells why a pod is not ready; ok is false for one that is just on its way.
func podProblem(of *profile.Profile, pod *corev1.Pod) (p client.Problem, ok bool) {
	p.Object = "pod/" + pod.Namespace + "/" + pod.Name
	p.Hint = of.Command(fmt.Sprintf("why %s -n %s", pod.Name, pod.Namespace))
	if owner := metav1.GetControllerOf(pod); owner != nil {
		p.Owner = owner.Kind + "/" + owner.Name
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range statuses {
			if w := s.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
				p.Reason, p.Message = w.Reason, fmt.Sprintf("container %s: %s", s.Name, w.Message)
				if slices.Contains(imageReasons, w.Reason) {
					p.Image = imageOf(pod, s.Name)
				}
				return p, true
			}
			if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
				p.Reason, p.Message = t.Reason, fmt.Sprintf("container %s ended with exit code %d: %s", s.Name, t.ExitCode, t.Message)
				return p, true
			}
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Status != corev1.ConditionFalse || c.Reason == "" {
			continue
		}
		if c.Type == corev1.PodScheduled || c.Type == corev1.PodReady && pod.Status.Phase == corev1.PodRunning {
			p.Reason, p.Message = c.Reason, c.Message
			return p, true
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		p.Reason, p.Message = cmp.Or(pod.Status.Reason, "Failed"), pod.Status.Message
		return p, true
	}
	return p, false
}
