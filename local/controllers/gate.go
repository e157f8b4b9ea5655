package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/tools/cache"
)

// gate holds events back until a controller is made. Kubernetes' constructors subscribe to informers before they have
// set all fields, since in kube-controller-manager informers start afterwards. Here they run already, for the API
// server and for other controllers, so that the first event would come while a constructor is under way, and crash.
type gate struct {
	opened chan struct{}
	ended  <-chan struct{} // after which nothing passes any more
}

func newGate(ended <-chan struct{}) *gate { return &gate{opened: make(chan struct{}), ended: ended} }

func (g *gate) open() { close(g.opened) }

// pass blocks until the gate is open, and tells whether it is.
func (g *gate) pass() bool {
	select {
	case <-g.opened:
		return true
	case <-g.ended:
		return false
	}
}

// gatedHandler is a subscriber behind a gate.
type gatedHandler struct {
	gate    *gate
	handler cache.ResourceEventHandler
}

func (h gatedHandler) OnAdd(obj any, initial bool) {
	if h.gate.pass() {
		h.handler.OnAdd(obj, initial)
	}
}

func (h gatedHandler) OnUpdate(before, after any) {
	if h.gate.pass() {
		h.handler.OnUpdate(before, after)
	}
}

func (h gatedHandler) OnDelete(obj any) {
	if h.gate.pass() {
		h.handler.OnDelete(obj)
	}
}

// gatedInformer puts its subscribers behind a gate.
type gatedInformer struct {
	cache.SharedIndexInformer
	gate *gate
}

func (i gatedInformer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandler(gatedHandler{i.gate, h})
}

func (i gatedInformer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, period time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(gatedHandler{i.gate, h}, period)
}

func (i gatedInformer) AddEventHandlerWithOptions(h cache.ResourceEventHandler, options cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithOptions(gatedHandler{i.gate, h}, options)
}

// gatedFactory hands out gated informers of another factory. The methods for the API groups are in gate_groups.go.
type gatedFactory struct {
	informers.SharedInformerFactory
	gate *gate
}

var _ internalinterfaces.SharedInformerFactory = gatedFactory{}

// InformerFor is what the informers of all kinds come through.
func (f gatedFactory) InformerFor(obj runtime.Object, make internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	return gatedInformer{f.SharedInformerFactory.InformerFor(obj, make), f.gate}
}

// behind returns the environment for a constructor whose events are to wait.
func (env *environment) behind(g *gate) *environment {
	gated := *env
	gated.Informers = gatedFactory{env.Informers, g}
	return &gated
}
