package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// watched is a kind of object that a controller waits for: the controller is made when there is the first one that
// matches. A nil matches takes any.
type watched struct {
	kind    informerOf
	matches func(obj any) bool
}

// lazily returns a loop that makes and runs the controller as soon as there is something for it to do. Each controller
// that is not there saves a dozen goroutines and one or more work queues, each of which wakes up twice a second for
// its metrics: with all of them an idle cluster took twice the CPU time.
func (e entry) lazily(env *environment) (runFunc, error) {
	var once sync.Once
	first := make(chan struct{})
	seen := func(obj any, w watched) {
		if w.matches == nil || w.matches(obj) {
			once.Do(func() { close(first) })
		}
	}
	var forget []func() error
	for _, w := range e.first {
		informer := w.kind(env.Informers)
		reg, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { seen(obj, w) },
			UpdateFunc: func(_, obj any) { seen(obj, w) },
		})
		if err != nil {
			return nil, fmt.Errorf("watch for the first object: %w", err)
		}
		forget = append(forget, func() error { return informer.RemoveEventHandler(reg) })
	}
	return func(ctx context.Context) {
		select {
		case <-first:
		case <-ctx.Done():
			return
		}
		var errs []error
		for _, f := range forget {
			errs = append(errs, f())
		}
		g := newGate(ctx.Done())
		run, err := e.make(ctx, env.behind(g))
		if err := errors.Join(append(errs, err)...); err != nil {
			klog.FromContext(ctx).Error(err, "Failed to start a controller for its first object", "controller", e.name)
		}
		if run == nil {
			return
		}
		g.open()
		env.Informers.Start(ctx.Done()) // of what only this controller watches
		run(ctx)
	}, nil
}
