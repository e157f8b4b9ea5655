package controllers

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// recountAfter is when a quota is counted again after its count has changed: the caches are behind by milliseconds. A
// namespace in which a hundred pods appear in a second is counted twice in it, and once after.
const recountAfter = 500 * time.Millisecond

// recountedQuotas is the informer of quotas that the quota controller gets. Admission counts an object before it
// exists; when the controller counts at that moment, from what exists, it overwrites admission's count with one less,
// which upstream stays wrong until the next recount in 5 minutes. Here every change of a count is followed by a
// recount; one that was too early is a change itself, and the last one finds nothing to change.
type recountedQuotas struct {
	coreinformers.ResourceQuotaInformer
	informer *notifyingInformer
}

func recountQuotas(quotas coreinformers.ResourceQuotaInformer) (coreinformers.ResourceQuotaInformer, error) {
	r := recountedQuotas{quotas, &notifyingInformer{SharedIndexInformer: quotas.Informer()}}
	recounts := &planned{after: recountAfter}
	updated := func(before, after any) {
		b, okB := before.(*corev1.ResourceQuota)
		a, okA := after.(*corev1.ResourceQuota)
		if !okA || !okB || equality.Semantic.DeepEqual(b.Status.Used, a.Status.Used) {
			return
		}
		recounts.add(a.Namespace+"/"+a.Name, func() {
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

// planned runs something for a key after a while, and only once for all who ask for it meanwhile.
type planned struct {
	after time.Duration
	mu    sync.Mutex
	keys  map[string]bool // guarded by mu
}

func (p *planned) add(key string, run func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys[key] {
		return
	}
	if p.keys == nil {
		p.keys = map[string]bool{}
	}
	p.keys[key] = true
	time.AfterFunc(p.after, func() {
		p.mu.Lock()
		delete(p.keys, key) // before it runs: what changes from here on needs another one
		p.mu.Unlock()
		run()
	})
}
