package nodes

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
)

// Taints is what is left of Kubernetes' node lifecycle controller on one engine: it turns a node's conditions and
// spec.unschedulable into taints that keep new pods off, as soon as they change.
//
// Upstream's controller also taints nodes NoExecute when their heartbeats stop, which evicts their pods, unless all
// nodes of a zone are affected at once. On one engine all always are, so that part never acts; there are no heartbeats
// to time either, and its loop wakes up ten times a second.
type Taints struct {
	client kubernetes.Interface
	nodes  corelisters.NodeLister
	synced cache.DoneChecker
	queue  workqueue.TypedRateLimitingInterface[string]
}

// NewTaints subscribes to the nodes; Run does the work.
func NewTaints(client kubernetes.Interface, inf coreinformers.NodeInformer) (*Taints, error) {
	c := &Taints{
		client: client,
		nodes:  inf.Lister(),
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	enqueue := func(obj any) {
		if n, ok := obj.(*corev1.Node); ok {
			c.queue.Add(n.Name)
		}
	}
	reg, err := inf.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) }})
	if err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	c.synced = reg.HasSyncedChecker()
	return c, nil
}

// Run reconciles until ctx ends.
func (c *Taints) Run(ctx context.Context) {
	defer utilruntime.HandleCrash()
	defer c.queue.ShutDown()
	if !cache.WaitFor(ctx, "", c.synced) {
		return
	}
	go func() {
		<-ctx.Done()
		c.queue.ShutDown()
	}()
	for {
		name, shutdown := c.queue.Get()
		if shutdown {
			return
		}
		if err := c.reconcile(ctx, name); err != nil {
			utilruntime.HandleErrorWithContext(ctx, err, "Failed to taint node", "node", name)
			c.queue.AddRateLimited(name)
		} else {
			c.queue.Forget(name)
		}
		c.queue.Done(name)
	}
}

func (c *Taints) reconcile(ctx context.Context, name string) error {
	n, err := c.nodes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get node %s: %w", name, err)
	}
	add, remove := planTaints(n)
	if len(add) == 0 && len(remove) == 0 {
		return nil
	}
	err = applyTaints(ctx, c.client, name, add, remove)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// conditionTaints is upstream's table: which condition in which status makes which taint.
var conditionTaints = map[corev1.NodeConditionType]map[corev1.ConditionStatus]string{
	corev1.NodeReady:              {corev1.ConditionFalse: corev1.TaintNodeNotReady, corev1.ConditionUnknown: corev1.TaintNodeUnreachable},
	corev1.NodeMemoryPressure:     {corev1.ConditionTrue: corev1.TaintNodeMemoryPressure},
	corev1.NodeDiskPressure:       {corev1.ConditionTrue: corev1.TaintNodeDiskPressure},
	corev1.NodePIDPressure:        {corev1.ConditionTrue: corev1.TaintNodePIDPressure},
	corev1.NodeNetworkUnavailable: {corev1.ConditionTrue: corev1.TaintNodeNetworkUnavailable},
}

// managedTaints are the keys of the taints that are ours to add and remove.
var managedTaints = []string{
	corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeMemoryPressure, corev1.TaintNodeDiskPressure,
	corev1.TaintNodePIDPressure, corev1.TaintNodeNetworkUnavailable, corev1.TaintNodeUnschedulable,
}

// planTaints returns the keys of the NoSchedule taints to add to and to remove from the node.
func planTaints(n *corev1.Node) (add, remove []string) {
	want := make(map[string]bool)
	for _, c := range n.Status.Conditions {
		if key, ok := conditionTaints[c.Type][c.Status]; ok {
			want[key] = true
		}
	}
	if n.Spec.Unschedulable {
		want[corev1.TaintNodeUnschedulable] = true
	}
	for _, key := range managedTaints {
		has := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == key && t.Effect == corev1.TaintEffectNoSchedule
		})
		switch {
		case want[key] && !has:
			add = append(add, key)
		case !want[key] && has:
			remove = append(remove, key)
		}
	}
	return add, remove
}

// applyTaints changes the NoSchedule taints of the node and nothing else on it.
func applyTaints(ctx context.Context, client kubernetes.Interface, name string, add, remove []string) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		n, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return t.Effect == corev1.TaintEffectNoSchedule && (slices.Contains(remove, t.Key) || slices.Contains(add, t.Key))
		})
		now := metav1.Now()
		for _, key := range add {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &now})
		}
		_, err = client.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("taint node %s (add %v, remove %v): %w", name, add, remove, err)
	}
	return nil
}
