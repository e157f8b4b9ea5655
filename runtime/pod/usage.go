package pod

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/volume/wire"
)

// usagePeriod is how often volumes with a size limit are measured: kubelet's housekeeping period. Pods without such a volume
// are never measured.
const usagePeriod = 10 * time.Second

// watchUsage measures the pod's emptyDir volumes that have a limit, and evicts the pod when one is over it. A volume in
// memory is limited by its mount.
func (w *Worker) watchUsage(next *plan.Plan) {
	if next.Terminal || w.measuring {
		return
	}
	limited := w.limitedVolumes()
	sandbox := w.sandboxFor.Load()
	if len(limited) == 0 || sandbox == nil || *sandbox == "" {
		return
	}
	if now := time.Now(); now.Before(w.measureAt) {
		if next.Wake.IsZero() || w.measureAt.Before(next.Wake) {
			next.Wake = w.measureAt
		}
		return
	}
	ops := make([]wire.Op, len(limited))
	for i := range limited {
		ops[i] = wire.Op{Kind: wire.Usage, Path: wire.VolumesDir + "/" + limited[i].Name}
	}
	w.measuring = true
	id := *sandbox
	go func() {
		results, err := w.ask(w.ctx, id, ops)
		w.post(func() {
			w.measuring, w.measureAt = false, time.Now().Add(usagePeriod)
			if err != nil {
				return // the sandbox has ended: nothing to measure
			}
			for i := range limited {
				limit := limited[i].EmptyDir.SizeLimit
				if results[i].Err == "" && results[i].Bytes > limit.Value() && w.verdict == nil {
					w.evict(true, "Evicted", fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", limited[i].Name, limit.String()))
				}
			}
		})
	}()
}

func (w *Worker) limitedVolumes() []*v1.Volume {
	var out []*v1.Volume
	for i := range w.pod.Spec.Volumes {
		v := &w.pod.Spec.Volumes[i]
		if v.EmptyDir != nil && v.EmptyDir.Medium != v1.StorageMediumMemory && v.EmptyDir.SizeLimit != nil && !v.EmptyDir.SizeLimit.IsZero() {
			out = append(out, v)
		}
	}
	return out
}

// evict ends the pod for good.
func (w *Worker) evict(immediate bool, reason, message string) {
	if w.verdict == nil {
		w.verdict = &plan.Verdict{Reason: reason, Message: message, Disruption: "TerminationByKubelet", Immediate: immediate}
		w.event(v1.EventTypeWarning, reason, message)
	}
}
