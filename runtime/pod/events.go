package pod

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/pod/plan"
)

// event records an event on the pod.
func (w *Worker) event(kind, reason, text string) {
	w.cfg.Recorder.Event(reference(w.pod, ""), kind, reason, text)
}

// containerEvent records an event on one of the pod's containers.
func (w *Worker) containerEvent(name, kind, reason, text string) {
	w.cfg.Recorder.Event(reference(w.pod, fieldPath(w.pod, name)), kind, reason, text)
}

// unenforcedEvent tells which limits of a container the engine ignores.
func (w *Worker) unenforcedEvent(c *v1.Container) {
	names := w.cfg.Spec.Unenforced(w.pod, c)
	if len(names) == 0 {
		return
	}
	why := "it runs without the cgroup controllers for that"
	if w.cfg.Spec.Engine.Rootless {
		why = "a rootless engine needs cgroup v2 and systemd for that, and the delegation of these controllers"
	}
	w.containerEvent(c.Name, v1.EventTypeWarning, "LimitsNotEnforced", fmt.Sprintf("The Docker Engine does not enforce the limits of %s on container %s: %s", joinNames(names), c.Name, why))
}

func joinNames(names []v1.ResourceName) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = string(n)
	}
	return strings.Join(words, " and ")
}

func reference(pod *v1.Pod, path string) *v1.ObjectReference {
	return &v1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
		ResourceVersion: pod.ResourceVersion, FieldPath: path,
	}
}

// fieldPath is how events name a container: spec.containers{name}.
func fieldPath(pod *v1.Pod, name string) string {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return "spec.initContainers{" + name + "}"
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return "spec.ephemeralContainers{" + name + "}"
		}
	}
	return "spec.containers{" + name + "}"
}

// backoffEvents tells once per pause that a container or its image is being waited for.
func (w *Worker) backoffEvents(next *plan.Plan) {
	for i := range next.Waits {
		wait := &next.Waits[i]
		if w.last != nil && waits(w.last, wait) {
			continue
		}
		switch wait.Reason {
		case "CrashLoopBackOff":
			w.containerEvent(wait.Container, v1.EventTypeWarning, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)",
				wait.Container, w.pod.Name, w.pod.Namespace, w.pod.UID))
		case "ImagePullBackOff":
			if c := containerSpec(w.pod, wait.Container); c != nil {
				w.containerEvent(wait.Container, v1.EventTypeNormal, "BackOff", "Back-off pulling image "+strconv.Quote(c.Image))
				w.containerEvent(wait.Container, v1.EventTypeWarning, "Failed", "Error: ImagePullBackOff")
			}
		}
	}
}

// waits reports whether the plan has the same wait.
func waits(p *plan.Plan, wait *plan.Wait) bool {
	for i := range p.Waits {
		if p.Waits[i].Container == wait.Container && p.Waits[i].Reason == wait.Reason && p.Waits[i].Until.Equal(wait.Until) {
			return true
		}
	}
	return false
}
