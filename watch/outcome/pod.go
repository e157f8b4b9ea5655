package outcome

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Trouble is what keeps a pod from being ready.
type Trouble struct {
	// Message says it in words, without the pod's name.
	Message string
	// Key tells one trouble from another while the words change, as with every further attempt at a pull.
	Key string
	// Certain troubles are said at once; others may just take a moment.
	Certain bool
	// Event says that the cluster's events about the pod may know more.
	Event bool
}

// Crash is a container that ended when it should not have.
type Crash struct {
	Container string
	Message   string
	// Ended tells one end from the next.
	Ended string
	// Previous says that the container was started again since, so that its log is that of the instance before.
	Previous bool
}

// PodTrouble says what a pod waits for, false if it is ready, done, or going.
func PodTrouble(pod *corev1.Pod) (Trouble, bool) {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || podReady(pod) {
		return Trouble{}, false
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		return Trouble{Message: strings.TrimSpace(pod.Status.Reason + " " + pod.Status.Message), Key: "failed", Certain: true}, true
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return Trouble{Message: "can't be scheduled: " + c.Message, Key: "schedule", Certain: true}, true
		}
	}
	init := map[string]bool{}
	for _, status := range pod.Status.InitContainerStatuses {
		init[status.Name] = true
	}
	for _, status := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if trouble, found := containerTrouble(status, init[status.Name]); found {
			return trouble, true
		}
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return Trouble{Message: "waits for a node to start it", Event: true}, true
	}
	for _, gate := range pod.Spec.ReadinessGates {
		return Trouble{Message: "waits for the readiness gate " + string(gate.ConditionType)}, true
	}
	return Trouble{Message: "not ready", Event: true}, true
}

func crashKey(container string) string { return "crash " + container }

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func containerTrouble(status corev1.ContainerStatus, init bool) (Trouble, bool) {
	who := "container " + status.Name
	if init {
		who = "init " + who
	}
	if waiting := status.State.Waiting; waiting != nil {
		switch waiting.Reason {
		case "CrashLoopBackOff":
			return Trouble{Message: who + " crashes again and again" + exitOf(status), Key: crashKey(status.Name), Certain: true}, true
		case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName":
			return Trouble{Message: fmt.Sprintf("image %s: %s", status.Image, waiting.Message), Key: "image " + status.Image, Certain: true}, true
		case "ContainerCreating", "PodInitializing", "":
			return Trouble{Message: who + " is being created", Event: true}, true
		default:
			return Trouble{Message: strings.TrimSpace(fmt.Sprintf("%s: %s %s", who, waiting.Reason, waiting.Message)), Key: status.Name + waiting.Reason, Certain: true}, true
		}
	}
	if ended := status.State.Terminated; ended != nil && (ended.ExitCode != 0 || !init && status.RestartCount > 0) {
		return Trouble{Message: fmt.Sprintf("%s ended with exit code %d", who, ended.ExitCode), Key: crashKey(status.Name), Certain: true}, true
	}
	running := status.State.Running != nil
	switch {
	case running && init && !status.Ready && (status.Started == nil || !*status.Started):
		return Trouble{Message: who + " runs"}, true
	case running && !init && status.Started != nil && !*status.Started:
		return Trouble{Message: who + ": the startup probe hasn't succeeded yet", Event: true}, true
	case running && !init && !status.Ready:
		return Trouble{Message: who + ": the readiness probe hasn't succeeded yet", Event: true}, true
	}
	return Trouble{}, false
}

func exitOf(status corev1.ContainerStatus) string {
	if ended := status.LastTerminationState.Terminated; ended != nil {
		return fmt.Sprintf(" (exit code %d, %d restarts)", ended.ExitCode, status.RestartCount)
	}
	return ""
}

// Crashes lists the containers of a pod that ended with a failure, the last end of each.
func Crashes(pod *corev1.Pod) []Crash {
	var crashes []Crash
	for _, status := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		ended, previous := status.State.Terminated, false
		if ended == nil {
			ended, previous = status.LastTerminationState.Terminated, status.State.Running != nil
		}
		if ended == nil || ended.ExitCode == 0 {
			continue
		}
		message := fmt.Sprintf("ended with exit code %d", ended.ExitCode)
		switch {
		case ended.Reason == "OOMKilled":
			message = "was killed because it used more memory than its limit"
		case ended.Signal != 0:
			message = fmt.Sprintf("was killed by signal %d", ended.Signal)
		case ended.ExitCode > 128 && ended.ExitCode < 160:
			message += fmt.Sprintf(" (signal %d)", ended.ExitCode-128)
		case ended.ExitCode == 126 || ended.ExitCode == 127:
			message += " (the command can't be run)"
		}
		if ended.Message != "" {
			message += ": " + strings.TrimSpace(ended.Message)
		}
		crashes = append(crashes, Crash{Container: status.Name, Message: message, Previous: previous,
			// Not the restart count: it grows when the container starts again, and this end becomes its last one.
			Ended: fmt.Sprintf("%s/%s/%s/%d", pod.UID, status.Name, ended.ContainerID, ended.FinishedAt.Unix())})
	}
	return crashes
}
