package apiserver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/tools/cache"
)

// admissionGate holds writes back until the plugins are there. They are made once their informers have
// synced: made earlier, as kube-apiserver does, they look whether that has happened every 100 ms, and the
// policies and a first write wait for it one after the other.
type admissionGate struct {
	open  chan struct{}
	chain admission.Interface // valid once open is closed
}

var (
	_ admission.MutationInterface   = &admissionGate{}
	_ admission.ValidationInterface = &admissionGate{}
)

func newAdmissionGate() *admissionGate { return &admissionGate{open: make(chan struct{})} }

// Handles is true because some plugin handles every operation.
func (g *admissionGate) Handles(admission.Operation) bool { return true }

func (g *admissionGate) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	return admit(ctx, g.chain, a, o)
}

func (g *admissionGate) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	return validate(ctx, g.chain, a, o)
}

func (g *admissionGate) wait(ctx context.Context) error {
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lazyAdmission is a chain that is made when the first object appears that gives it something to do. That
// takes milliseconds, during which writes pass it by, as they do in every cluster until the object has reached
// the plugins of its API servers.
type lazyAdmission struct {
	make  func() (admission.Interface, error)
	log   *slog.Logger
	once  sync.Once
	chain atomic.Pointer[admission.Interface]
}

var (
	_ admission.MutationInterface   = &lazyAdmission{}
	_ admission.ValidationInterface = &lazyAdmission{}
)

// follow makes the chain at once if one of the informers, which have synced, knows an object, and else when
// one does.
func (l *lazyAdmission) follow(informers []cache.SharedIndexInformer) error {
	for _, i := range informers {
		if len(i.GetStore().ListKeys()) > 0 {
			l.once.Do(l.load)
			return nil
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { go l.once.Do(l.load) }}
	for _, i := range informers {
		if _, err := i.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch for policies and webhooks: %w", err)
		}
	}
	return nil
}

func (l *lazyAdmission) load() {
	chain, err := l.make()
	if err != nil {
		l.log.Error("policies and webhooks are not followed", "err", err)
		return
	}
	l.chain.Store(&chain)
}

// Handles is true because webhooks may be registered for every operation.
func (l *lazyAdmission) Handles(admission.Operation) bool { return true }

func (l *lazyAdmission) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if chain := l.chain.Load(); chain != nil {
		return admit(ctx, *chain, a, o)
	}
	return nil
}

func (l *lazyAdmission) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if chain := l.chain.Load(); chain != nil {
		return validate(ctx, *chain, a, o)
	}
	return nil
}

func admit(ctx context.Context, chain admission.Interface, a admission.Attributes, o admission.ObjectInterfaces) error {
	if m, ok := chain.(admission.MutationInterface); ok && chain.Handles(a.GetOperation()) {
		return m.Admit(ctx, a, o)
	}
	return nil
}

func validate(ctx context.Context, chain admission.Interface, a admission.Attributes, o admission.ObjectInterfaces) error {
	if v, ok := chain.(admission.ValidationInterface); ok && chain.Handles(a.GetOperation()) {
		return v.Validate(ctx, a, o)
	}
	return nil
}
