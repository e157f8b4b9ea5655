// Package outcome follows what becomes of objects after they were applied: how far a rollout is, when it is ready, and
// if it isn't, what it waits for, down to the log lines of a container that crashes.
//
// Judging is pure: an object or a pod goes in, a verdict in words comes out. The Follower watches the cluster, asks for
// verdicts and says what changed.
package outcome

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// State is how far an object is.
type State int

const (
	// Silent objects have nothing to wait for.
	Silent State = iota
	// Progressing objects are on their way, or stuck.
	Progressing
	// Ready objects do what they should.
	Ready
	// Failed objects won't become ready by themselves.
	Failed
)

// Verdict is a state and the words for it.
type Verdict struct {
	State   State
	Message string
}

// Judge says how far an object is, by its own status. The rules for workloads are those of `kubectl rollout status`,
// those for unknown kinds are the conventions for conditions (Ready, Available, Established).
func Judge(obj *unstructured.Unstructured) Verdict {
	switch gk := obj.GroupVersionKind().GroupKind(); gk {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		return judgeDeployment(obj)
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		return judgeStatefulSet(obj)
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		return judgeDaemonSet(obj)
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}, schema.GroupKind{Kind: "ReplicationController"}:
		return judgeReplicas(obj)
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return judgeJob(obj)
	case schema.GroupKind{Kind: "Pod"}:
		return judgePod(obj)
	case schema.GroupKind{Kind: "PersistentVolumeClaim"}:
		if phase := text(obj, "status", "phase"); phase == "Bound" {
			return Verdict{Ready, "bound to " + text(obj, "spec", "volumeName")}
		}
		// It may wait for its first pod, which is nothing to complain about; the pod would.
		return Verdict{Silent, ""}
	case schema.GroupKind{Kind: "Service"}:
		return judgeService(obj)
	}
	if Watched(obj.GroupVersionKind().GroupKind()) {
		return judgeConditions(obj)
	}
	return Verdict{}
}

// Watched reports whether objects of a kind have an outcome at all. The built-in kinds that are mere data have none.
func Watched(gk schema.GroupKind) bool {
	switch gk.Group {
	case "":
		switch gk.Kind {
		case "Pod", "ReplicationController", "PersistentVolumeClaim", "Service":
			return true
		}
		return false
	case "batch":
		return gk.Kind == "Job" || gk.Kind == "CronJob"
	case "rbac.authorization.k8s.io", "networking.k8s.io", "storage.k8s.io", "scheduling.k8s.io", "admissionregistration.k8s.io",
		"node.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "autoscaling", "policy":
		return false
	}
	return true
}

func judgeDeployment(obj *unstructured.Unstructured) Verdict {
	if behind(obj) {
		return Verdict{Progressing, "the rollout begins"}
	}
	want := number(obj, 1, "spec", "replicas")
	updated, total := number(obj, 0, "status", "updatedReplicas"), number(obj, 0, "status", "replicas")
	available := number(obj, 0, "status", "availableReplicas")
	paused, _, _ := unstructured.NestedBool(obj.Object, "spec", "paused")
	progressing, reason, message := condition(obj, "Progressing")
	failing, _, why := condition(obj, "ReplicaFailure")
	switch {
	case failing == "True":
		return Verdict{Progressing, why}
	case progressing == "False" && reason == "ProgressDeadlineExceeded" && available < want:
		return Verdict{Failed, fmt.Sprintf("%d of %d pods available, and no progress any more: %s", available, want, message)}
	case paused && updated < want:
		return Verdict{Progressing, "the rollout is paused"}
	case updated < want:
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods are new", updated, want)}
	case total > updated:
		return Verdict{Progressing, fmt.Sprintf("%d old pods end", total-updated)}
	case available < updated:
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods available", available, want)}
	}
	return Verdict{Ready, pods(want)}
}

func judgeStatefulSet(obj *unstructured.Unstructured) Verdict {
	if behind(obj) {
		return Verdict{Progressing, "the rollout begins"}
	}
	want := number(obj, 1, "spec", "replicas")
	ready, updated := number(obj, 0, "status", "readyReplicas"), number(obj, 0, "status", "updatedReplicas")
	partition := number(obj, 0, "spec", "updateStrategy", "rollingUpdate", "partition")
	rolling := text(obj, "spec", "updateStrategy", "type") != "OnDelete"
	switch {
	case ready < want:
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods ready", ready, want)}
	case rolling && updated < want-partition:
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods are new", updated, want-partition)}
	case rolling && partition == 0 && text(obj, "status", "updateRevision") != text(obj, "status", "currentRevision"):
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods are new", updated, want)}
	}
	return Verdict{Ready, pods(want)}
}

func judgeDaemonSet(obj *unstructured.Unstructured) Verdict {
	if behind(obj) {
		return Verdict{Progressing, "the rollout begins"}
	}
	want := number(obj, 0, "status", "desiredNumberScheduled")
	updated, available := number(obj, 0, "status", "updatedNumberScheduled"), number(obj, 0, "status", "numberAvailable")
	switch {
	case text(obj, "spec", "updateStrategy", "type") != "OnDelete" && updated < want:
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods are new", updated, want)}
	case available < want:
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods available", available, want)}
	}
	return Verdict{Ready, pods(want)}
}

func judgeReplicas(obj *unstructured.Unstructured) Verdict {
	if behind(obj) {
		return Verdict{Progressing, "it begins"}
	}
	want, available := number(obj, 1, "spec", "replicas"), number(obj, 0, "status", "availableReplicas")
	if failing, _, why := condition(obj, "ReplicaFailure"); failing == "True" {
		return Verdict{Progressing, why}
	}
	if available < want {
		return Verdict{Progressing, fmt.Sprintf("%d of %d pods available", available, want)}
	}
	return Verdict{Ready, pods(want)}
}

func judgeJob(obj *unstructured.Unstructured) Verdict {
	if status, _, _ := condition(obj, "Complete"); status == "True" {
		return Verdict{Ready, fmt.Sprintf("completed, %d succeeded", number(obj, 0, "status", "succeeded"))}
	}
	if status, reason, message := condition(obj, "Failed"); status == "True" {
		return Verdict{Failed, fmt.Sprintf("failed (%s): %s", reason, message)}
	}
	if suspended, _, _ := unstructured.NestedBool(obj.Object, "spec", "suspend"); suspended {
		return Verdict{Progressing, "suspended"}
	}
	done, want := number(obj, 0, "status", "succeeded"), number(obj, 1, "spec", "completions")
	return Verdict{Progressing, fmt.Sprintf("%d of %d done, %d running", done, want, number(obj, 0, "status", "active"))}
}

func judgePod(obj *unstructured.Unstructured) Verdict {
	switch phase := text(obj, "status", "phase"); phase {
	case "Succeeded":
		return Verdict{Ready, "completed"}
	case "Failed":
		return Verdict{Failed, "failed: " + text(obj, "status", "message")}
	}
	if status, _, _ := condition(obj, "Ready"); status == "True" {
		return Verdict{Ready, ""}
	}
	return Verdict{Progressing, "not ready"}
}

// judgeService says where a Service can be reached from outside.
func judgeService(obj *unstructured.Unstructured) Verdict {
	ports, _, _ := unstructured.NestedSlice(obj.Object, "spec", "ports")
	switch text(obj, "spec", "type") {
	case "LoadBalancer":
		ingress, _, _ := unstructured.NestedSlice(obj.Object, "status", "loadBalancer", "ingress")
		if len(ingress) == 0 {
			return Verdict{Progressing, "waits for its address"}
		}
		first, _ := ingress[0].(map[string]any)
		host, _ := first["hostname"].(string)
		if host == "" {
			host, _ = first["ip"].(string)
		}
		return Verdict{Ready, "answers on" + portList(ports, "port", host+":")}
	case "NodePort":
		return Verdict{Ready, "answers on" + portList(ports, "nodePort", "node port ")}
	}
	return Verdict{}
}

func portList(ports []any, field, prefix string) string {
	list := ""
	for _, port := range ports {
		fields, _ := port.(map[string]any)
		if n, ok := fields[field].(int64); ok && n != 0 {
			list += fmt.Sprintf(" %s%d", prefix, n)
		}
	}
	return list
}

// judgeConditions is for kinds that skiff knows nothing of.
func judgeConditions(obj *unstructured.Unstructured) Verdict {
	if observed := number(obj, -1, "status", "observedGeneration"); observed >= 0 && observed < obj.GetGeneration() {
		return Verdict{Progressing, "not noticed by its controller yet"}
	}
	for _, kind := range []string{"Ready", "Available", "Established"} {
		switch status, reason, message := condition(obj, kind); status {
		case "True":
			return Verdict{Ready, ""}
		case "False", "Unknown":
			if message == "" {
				message = reason
			}
			return Verdict{Progressing, message}
		}
	}
	return Verdict{}
}

// behind reports whether the controller has not seen the last change yet.
func behind(obj *unstructured.Unstructured) bool {
	if _, reports, _ := unstructured.NestedFieldNoCopy(obj.Object, "status", "observedGeneration"); !reports && !isWorkload(obj) {
		return false
	}
	return number(obj, 0, "status", "observedGeneration") < obj.GetGeneration()
}

func isWorkload(obj *unstructured.Unstructured) bool {
	gk := obj.GroupVersionKind().GroupKind()
	return gk.Group == "apps" || gk.Kind == "ReplicationController"
}

func pods(n int64) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

func number(obj *unstructured.Unstructured, missing int64, path ...string) int64 {
	value, found, err := unstructured.NestedInt64(obj.Object, path...)
	if !found || err != nil {
		return missing
	}
	return value
}

func text(obj *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(obj.Object, path...)
	return value
}

func condition(obj *unstructured.Unstructured, kind string) (status, reason, message string) {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		fields, _ := c.(map[string]any)
		if fields["type"] == kind {
			status, _ = fields["status"].(string)
			reason, _ = fields["reason"].(string)
			message, _ = fields["message"].(string)
			return status, reason, message
		}
	}
	return "", "", ""
}
