package pod

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"skiff.local/skiff/runtime/pod/plan"
)

// A statusWriter is what is known about the status in the API.
type statusWriter struct {
	busy bool
	// retryAt is when a failed write may be repeated.
	retryAt time.Time
	last    *v1.PodStatus // computed last
}

// showStatus writes the status if it has changed. One write is under way at a time; the newest status follows it.
func (w *Worker) showStatus(facts *plan.Facts, next *plan.Plan) {
	if w.gone || w.finished || w.flights[plan.Key{Kind: plan.Finish}] != nil {
		return // the last status goes with the release of the object
	}
	status := plan.Status(facts, next, &w.pod.Status)
	w.status.last = &status
	if w.status.busy || equality.Semantic.DeepEqual(&status, &w.pod.Status) {
		return
	}
	if w.pod.DeletionTimestamp != nil && equality.Semantic.DeepEqual(ungenerated(&status), ungenerated(&w.pod.Status)) {
		return // nobody waits for a pod that goes to be observed
	}
	if now := time.Now(); now.Before(w.status.retryAt) {
		if next.Wake.IsZero() || w.status.retryAt.Before(next.Wake) {
			next.Wake = w.status.retryAt
		}
		return
	}
	w.status.busy = true
	pod := w.pod
	go func() {
		err := w.writeStatus(w.ctx, pod, status)
		w.post(func() {
			w.status.busy = false
			w.status.retryAt = time.Time{}
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				w.cfg.Logger.Warn("write the status of a pod", "pod", pod.Namespace+"/"+pod.Name, "error", err)
			}
			if err != nil {
				w.status.retryAt = time.Now().Add(time.Second)
			}
		})
	}()
}

// ungenerated is a status without the generations it was observed at.
func ungenerated(s *v1.PodStatus) *v1.PodStatus {
	out := s.DeepCopy()
	out.ObservedGeneration = 0
	for i := range out.Conditions {
		out.Conditions[i].ObservedGeneration = 0
	}
	return out
}

// writeStatus patches the status and takes over what the API answers.
func (w *Worker) writeStatus(ctx context.Context, pod *v1.Pod, status v1.PodStatus) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	patch, err := statusPatch(pod, status)
	if err != nil || patch == nil {
		return err
	}
	updated, err := w.cfg.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("patch the status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	w.post(func() { w.setPod(updated) })
	return nil
}

// statusPatch is the difference between the status that the API has and the new one, bound to the pod's UID; nil when there
// is none. Conditions that others wrote meanwhile survive it.
func statusPatch(pod *v1.Pod, status v1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(v1.Pod{Status: pod.Status})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(v1.Pod{Status: status})
	if err != nil {
		return nil, err
	}
	if bytes.Equal(before, after) {
		return nil, nil
	}
	bound, err := json.Marshal(v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: status})
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateTwoWayMergePatch(before, bound, v1.Pod{})
}

// finalStatus is the status of a pod that has stopped.
func (w *Worker) finalStatus() v1.PodStatus {
	facts := w.facts(time.Now())
	next := plan.Plan{Terminal: true, Verdict: w.verdict}
	return plan.Status(facts, &next, &w.pod.Status)
}
