package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
)

// discoverySettle is how long after the last change of a CustomResourceDefinition or APIService discovery may still
// answer with the old list: the API server publishes asynchronously (measured: below 100 ms; chosen: ten times that).
const discoverySettle = time.Second

// The resources whose changes change discovery.
var apiSources = []schema.GroupVersionResource{
	{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
	{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
}

// discoveryCache answers what resources the API has, from memory until a CustomResourceDefinition or APIService
// changes. Kubernetes' controllers ask every 30 seconds instead.
type discoveryCache struct {
	memory discovery.CachedDiscoveryInterface
	mapper *restmapper.DeferredDiscoveryRESTMapper

	mu       sync.Mutex
	unsettle *time.Timer   // running: the API changed less than discoverySettle ago
	settling bool          // until unsettle fires, nothing is answered from memory
	changed  chan struct{} // closed and replaced when a change has settled
}

func newDiscoveryCache(client discovery.DiscoveryInterface, inf metadatainformer.SharedInformerFactory) (*discoveryCache, error) {
	c := &discoveryCache{memory: memory.NewMemCacheClient(client), changed: make(chan struct{})}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.memory)
	c.unsettle = time.AfterFunc(time.Hour, c.settled)
	c.unsettle.Stop()

	touch := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.touched() },
		UpdateFunc: func(old, new any) { c.updated(old, new) },
		DeleteFunc: func(any) { c.touched() },
	}
	for _, gvr := range apiSources {
		if _, err := inf.ForResource(gvr).Informer().AddEventHandler(touch); err != nil {
			return nil, fmt.Errorf("watch %s: %w", gvr.Resource, err)
		}
	}
	return c, nil
}

func (c *discoveryCache) updated(old, new any) {
	a, okA := old.(*metav1.PartialObjectMetadata)
	b, okB := new.(*metav1.PartialObjectMetadata)
	if okA && okB && a.ResourceVersion == b.ResourceVersion {
		return
	}
	c.touched()
}

func (c *discoveryCache) touched() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settling = true
	c.unsettle.Reset(discoverySettle)
}

func (c *discoveryCache) settled() {
	c.mapper.Reset() // and with it the memory
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settling = false
	close(c.changed)
	c.changed = make(chan struct{})
}

// fresh drops the memory while a change is settling.
func (c *discoveryCache) fresh() {
	c.mu.Lock()
	settling := c.settling
	c.mu.Unlock()
	if settling {
		c.memory.Invalidate()
	}
}

// whileUnchanged runs sync, which is to end with its context, again and again: each time the API has changed it is
// ended and started anew.
func (c *discoveryCache) whileUnchanged(ctx context.Context, sync func(context.Context)) {
	for ctx.Err() == nil {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()

		round, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			sync(round)
		}()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		cancel()
		<-done
	}
}

// namespaced lists the namespaced resources in their preferred versions.
func (c *discoveryCache) namespaced() ([]*metav1.APIResourceList, error) {
	c.fresh()
	return c.memory.ServerPreferredNamespacedResources()
}

// The methods below make it a discovery.ServerResourcesInterface, for the garbage collector.

func (c *discoveryCache) ServerResourcesForGroupVersion(gv string) (*metav1.APIResourceList, error) {
	c.fresh()
	return c.memory.ServerResourcesForGroupVersion(gv)
}

func (c *discoveryCache) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	c.fresh()
	return c.memory.ServerGroupsAndResources()
}

func (c *discoveryCache) ServerPreferredResources() ([]*metav1.APIResourceList, error) {
	c.fresh()
	return c.memory.ServerPreferredResources()
}

func (c *discoveryCache) ServerPreferredNamespacedResources() ([]*metav1.APIResourceList, error) {
	return c.namespaced()
}

var _ discovery.ServerResourcesInterface = (*discoveryCache)(nil)
