// Package podgc deletes pods that nobody else will: those whose node is gone, those deleted before they were
// scheduled, and the oldest finished ones when there are too many.
//
// It stands in for Kubernetes' pod garbage collector, which lists all pods every 20 seconds and links the kubelet's
// eviction manager (and with it cAdvisor) for one constant. This one looks when something happened.
package podgc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// finishedDelay is how long after a pod finished the surplus is counted: a Job finishes many at once.
const finishedDelay = 10 * time.Second

// Collector deletes pods. Make it with New.
type Collector struct {
	client kubernetes.Interface
	pods   corelisters.PodLister
	nodes  corelisters.NodeLister
	synced []cache.DoneChecker
	kick   chan time.Duration // look in this time
}

// New subscribes to pods and nodes; Run does the work.
func New(client kubernetes.Interface, pods coreinformers.PodInformer, nodes coreinformers.NodeInformer) (*Collector, error) {
	c := &Collector{client: client, pods: pods.Lister(), nodes: nodes.Lister(), kick: make(chan time.Duration, 1)}
	podChanged := func(obj any) {
		if p, ok := obj.(*corev1.Pod); ok {
			c.podChanged(p)
		}
	}
	podReg, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: podChanged, UpdateFunc: func(_, obj any) { podChanged(obj) }})
	if err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	nodeReg, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(any) { c.look(0) }})
	if err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	c.synced = []cache.DoneChecker{podReg.HasSyncedChecker(), nodeReg.HasSyncedChecker()}
	return c, nil
}

func (c *Collector) podChanged(p *corev1.Pod) {
	switch {
	case p.Spec.NodeName == "" && p.DeletionTimestamp != nil:
		c.look(0)
	case finishedPhase(p.Status.Phase):
		c.look(finishedDelay)
	case p.Spec.NodeName != "":
		if _, err := c.nodes.Get(p.Spec.NodeName); apierrors.IsNotFound(err) {
			c.look(finishedDelay) // unless the node turns up, the quarantine begins then
		}
	}
}

// look asks for a look in the given time at the latest. It never blocks: of several requests the soonest counts.
func (c *Collector) look(in time.Duration) {
	for {
		select {
		case c.kick <- in:
			return
		case pending := <-c.kick:
			in = min(in, pending)
		}
	}
}

// Run collects until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	defer utilruntime.HandleCrash()
	if !cache.WaitFor(ctx, "", c.synced...) {
		return
	}
	missing := make(map[string]time.Time)
	timer := time.NewTimer(0) // orphans of before the start
	due := time.Now()
	for {
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case in := <-c.kick:
			if at := time.Now().Add(in); due.IsZero() || at.Before(due) {
				due = at
				timer.Reset(in)
			}
		case <-timer.C:
			due = time.Time{}
			again, err := c.collect(ctx, missing)
			if err != nil && ctx.Err() == nil {
				utilruntime.HandleErrorWithContext(ctx, err, "Failed to collect pods")
				again = finishedDelay
			}
			if again > 0 {
				c.look(again)
			}
		}
	}
}

func (c *Collector) collect(ctx context.Context, missing map[string]time.Time) (again time.Duration, err error) {
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return 0, fmt.Errorf("list nodes: %w", err)
	}
	names := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		names[n.Name] = true
	}
	deletions, again := plan(pods, names, missing, time.Now())
	var errs []error
	for _, d := range deletions {
		errs = append(errs, c.delete(ctx, d))
	}
	return again, errors.Join(errs...)
}

// delete marks the pod as failed by disruption, as upstream does, so that a Job's pod failure policy can tell; then it
// deletes it without grace.
func (c *Collector) delete(ctx context.Context, d deletion) error {
	p := d.pod
	if d.cause == orphaned {
		if _, err := c.client.CoreV1().Nodes().Get(ctx, p.Spec.NodeName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return err // the cache was behind, or nobody knows
		}
	}
	if !finishedPhase(p.Status.Phase) {
		if err := c.markFailed(ctx, d); err != nil {
			return err
		}
	}
	err := c.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}

func (c *Collector) markFailed(ctx context.Context, d deletion) error {
	p := d.pod
	status := corev1apply.PodStatus().WithPhase(corev1.PodFailed)
	if !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	}) {
		status.WithConditions(corev1apply.PodCondition().WithType(corev1.DisruptionTarget).WithStatus(corev1.ConditionTrue).
			WithReason("DeletionByPodGC").WithMessage(string(d.cause)).WithLastTransitionTime(metav1.Now()))
	}
	apply := corev1apply.Pod(p.Name, p.Namespace).WithUID(p.UID).WithStatus(status)
	_, err := c.client.CoreV1().Pods(p.Namespace).ApplyStatus(ctx, apply, metav1.ApplyOptions{FieldManager: "PodGC", Force: true})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("mark pod %s/%s failed: %w", p.Namespace, p.Name, err)
	}
	return nil
}
