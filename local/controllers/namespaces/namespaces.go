// Package namespaces empties namespaces that are being deleted. The work is done by Kubernetes' own deleter; what is
// different is when.
//
// Upstream's controller waits 5 seconds before it begins, so that API servers and etcd members on other machines have
// seen the deletion, and then in whole seconds for what needs time to go: an ordinary namespace takes 10 seconds. Here
// there is one API server in the same process, so it begins almost at once and looks again when a pod has gone.
package namespaces

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/kubernetes/pkg/controller/namespace/deletion"
)

const (
	// grace is how long a namespace is marked as terminating before its content is deleted, so that whoever is
	// creating something in it has either finished or sees that it terminates. Chosen: a request in this process
	// takes a few milliseconds.
	grace = 100 * time.Millisecond
	// The waits between two looks at a namespace of which something remains. A pod that goes cuts them short.
	firstWait = 100 * time.Millisecond
	longest   = 15 * time.Second
	// afterPod is how long after a pod has gone its namespace is looked at: pods of one namespace go together.
	afterPod = 50 * time.Millisecond
)

// Config is what a Controller needs.
type Config struct {
	Client     kubernetes.Interface
	Metadata   metadata.Interface
	Namespaces coreinformers.NamespaceInformer
	Pods       coreinformers.PodInformer
	// Discover lists all namespaced resources in their preferred versions.
	Discover func() ([]*metav1.APIResourceList, error)
}

// Controller empties terminating namespaces. Make it with New.
type Controller struct {
	cfg    Config
	synced []cache.DoneChecker
	queue  workqueue.TypedRateLimitingInterface[string]

	mu      sync.Mutex
	deleter deletion.NamespacedResourcesDeleterInterface // guarded by mu; made for the first namespace
}

// New subscribes to namespaces and pods; Run does the work.
func New(cfg Config) (*Controller, error) {
	c := &Controller{
		cfg:   cfg,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstWait, longest)),
	}
	terminating := func(obj any) {
		if ns, ok := obj.(*corev1.Namespace); ok && ns.DeletionTimestamp != nil {
			c.queue.AddAfter(ns.Name, grace)
		}
	}
	nsReg, err := cfg.Namespaces.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: terminating, UpdateFunc: func(_, obj any) { terminating(obj) }})
	if err != nil {
		return nil, fmt.Errorf("watch namespaces: %w", err)
	}
	podReg, err := cfg.Pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: c.podGone})
	if err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	c.synced = []cache.DoneChecker{nsReg.HasSyncedChecker(), podReg.HasSyncedChecker()}
	return c, nil
}

func (c *Controller) podGone(obj any) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return
	}
	name, _, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return
	}
	if ns, err := c.cfg.Namespaces.Lister().Get(name); err == nil && ns.DeletionTimestamp != nil {
		c.queue.Forget(name)
		c.queue.AddAfter(name, afterPod)
	}
}

// Run empties namespaces, so many at a time, until ctx ends.
func (c *Controller) Run(ctx context.Context, workers int) {
	defer utilruntime.HandleCrash()
	if !cache.WaitFor(ctx, "", c.synced...) {
		return
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	c.queue.ShutDown()
	wg.Wait()
}

func (c *Controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	err := c.empty(ctx, name)
	if err == nil {
		c.queue.Forget(name)
		return true
	}
	if remaining := (*deletion.ResourcesRemainingError)(nil); !errors.As(err, &remaining) && ctx.Err() == nil {
		utilruntime.HandleErrorWithContext(ctx, err, "Failed to empty namespace", "namespace", name)
	}
	c.queue.AddRateLimited(name)
	return true
}

func (c *Controller) empty(ctx context.Context, name string) error {
	d, err := c.makeDeleter(ctx)
	if err != nil {
		return err
	}
	return d.Delete(ctx, name)
}

// makeDeleter makes the deleter when it is first needed: it asks for all resources, which nobody should wait for at
// start, and it ends the process when the answer is empty, which is why the answer is looked at before.
func (c *Controller) makeDeleter(ctx context.Context) (deletion.NamespacedResourcesDeleterInterface, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deleter != nil {
		return c.deleter, nil
	}
	resources, err := c.cfg.Discover()
	if len(resources) == 0 {
		return nil, fmt.Errorf("list the resources of namespaces: none found (%w)", err)
	}
	known := func() ([]*metav1.APIResourceList, error) {
		if resources != nil {
			first := resources
			resources = nil
			return first, nil
		}
		return c.cfg.Discover()
	}
	c.deleter = deletion.NewNamespacedResourcesDeleter(ctx, c.cfg.Client.CoreV1().Namespaces(), c.cfg.Metadata, c.cfg.Client.CoreV1(), known, corev1.FinalizerKubernetes)
	return c.deleter, nil
}
