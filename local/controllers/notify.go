package controllers

import (
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
)

// notifyingInformer remembers who subscribes, so that they can be told about an object once more although it has not
// changed. Some of Kubernetes' controllers miss an event and repair that by looking at everything from time to time;
// where the event is known, this makes them look at once.
type notifyingInformer struct {
	cache.SharedIndexInformer
	mu       sync.Mutex
	handlers []cache.ResourceEventHandler // guarded by mu
}

// AddEventHandler implements cache.SharedIndexInformer.
func (n *notifyingInformer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	n.remember(h)
	return n.SharedIndexInformer.AddEventHandler(h)
}

// AddEventHandlerWithResyncPeriod implements cache.SharedIndexInformer.
func (n *notifyingInformer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, period time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	n.remember(h)
	return n.SharedIndexInformer.AddEventHandlerWithResyncPeriod(h, period)
}

func (n *notifyingInformer) remember(h cache.ResourceEventHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers = append(n.handlers, h)
}

// again tells the subscribers about an object as if it were new.
func (n *notifyingInformer) again(obj any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.handlers {
		h.OnAdd(obj, false)
	}
}
