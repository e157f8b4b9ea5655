package gateway

import (
	"context"
	"errors"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// bundles reads certificates of authorities from ConfigMaps, and tells when one that was asked for has changed. ConfigMaps
// are watched from the first that is asked for: most clusters have none of these.
type bundles struct {
	informers informers.SharedInformerFactory
	changed   func()
	lister    corelisters.ConfigMapLister

	mu   sync.Mutex
	read map[types.NamespacedName]bool // guarded by mu; grows by names that were asked for, which are few
}

// authorityKey is the key of a ConfigMap that the Gateway API wants authorities under.
const authorityKey = "ca.crt"

func (b *bundles) get(ctx context.Context, namespace, name string) (string, error) {
	if err := b.watch(ctx); err != nil {
		return "", err
	}
	b.mu.Lock()
	b.read[types.NamespacedName{Namespace: namespace, Name: name}] = true
	b.mu.Unlock()
	m, err := b.lister.ConfigMaps(namespace).Get(name)
	if err != nil {
		return "", errors.New("it does not exist")
	}
	text, ok := m.Data[authorityKey]
	if !ok {
		return "", errors.New("it has no key " + authorityKey)
	}
	return text, nil
}

func (b *bundles) watch(ctx context.Context) error {
	if b.lister != nil {
		return nil
	}
	changed := func(obj any) {
		if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = unknown.Obj
		}
		m, ok := obj.(*corev1.ConfigMap)
		if !ok {
			return
		}
		b.mu.Lock()
		mine := b.read[types.NamespacedName{Namespace: m.Namespace, Name: m.Name}]
		b.mu.Unlock()
		if mine {
			b.changed()
		}
	}
	maps := b.informers.Core().V1().ConfigMaps()
	registration, err := maps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, obj any) { changed(obj) }, DeleteFunc: changed,
	})
	if err != nil {
		return err
	}
	b.informers.Start(ctx.Done())
	if !cache.WaitFor(ctx, "", registration.HasSyncedChecker()) {
		return ctx.Err()
	}
	b.lister = maps.Lister()
	return nil
}
