package controllers

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// recountAfter is when a quota is counted again after its count has changed: the caches are behind by milliseconds.
const recountAfter = 500 * time.Millisecond

// recountedQuotas is the informer of quotas that the quota controller gets. Admission counts an object before it
// exists; when the controller counts at that moment, from what exists, it overwrites admission's count with one less,
// which upstream stays wrong until the next recount in 5 minutes. Here every change of a count is followed by a
// recount, which ends when it finds nothing to change.
type recountedQuotas struct {
	coreinformers.ResourceQuotaInformer
	informer *notifyingInformer
}

func recountQuotas(quotas coreinformers.ResourceQuotaInformer) (coreinformers.ResourceQuotaInformer, error) {
	r := recountedQuotas{quotas, &notifyingInformer{SharedIndexInformer: quotas.Informer()}}
	updated := func(before, after any) {
		b, okB := before.(*corev1.ResourceQuota)
		a, okA := after.(*corev1.ResourceQuota)
		if !okA || !okB || equality.Semantic.DeepEqual(b.Status.Used, a.Status.Used) {
			return
		}
		time.AfterFunc(recountAfter, func() {
			if q, err := quotas.Lister().ResourceQuotas(a.Namespace).Get(a.Name); err == nil {
				r.informer.again(q)
			}
		})
	}
	if _, err := quotas.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: updated}); err != nil {
		return nil, fmt.Errorf("watch quotas: %w", err)
	}
	return r, nil
}

func (r recountedQuotas) Informer() cache.SharedIndexInformer { return r.informer }
