package nodes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// Config says which nodes to show. All fields are required unless said otherwise.
type Config struct {
	Client  kubernetes.Interface
	Profile string
	Engine  Engine
	Nodes   []Node
	// IP is the nodes' internal address: where pods reach what their host serves.
	IP netip.Addr
	// KubernetesVersion is shown as the kubelet's: v1.36.3.
	KubernetesVersion string
	// Now defaults to time.Now.
	Now func() time.Time
}

// Registry keeps the Node objects of one engine.
type Registry struct {
	cfg Config

	mu        sync.Mutex
	readiness Readiness // guarded by mu, which is held over the writes: the last caller wins
}

// New checks the configuration.
func New(cfg Config) (*Registry, error) {
	if cfg.Client == nil || cfg.Profile == "" || len(cfg.Nodes) == 0 || !cfg.IP.IsValid() || cfg.KubernetesVersion == "" {
		return nil, errors.New("configure nodes: client, profile, nodes, address and Kubernetes version are required")
	}
	seen := make(map[string]bool)
	for _, n := range cfg.Nodes {
		if n.Name == "" || seen[n.Name] {
			return nil, fmt.Errorf("configure nodes: name %q is empty or not unique", n.Name)
		}
		seen[n.Name] = true
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Registry{cfg: cfg, readiness: Ready()}, nil
}

// Register creates or updates the nodes, and deletes those that were registered for more nodes than are wanted now;
// their pods go with them. It is idempotent.
func (r *Registry) Register(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writeLocked(ctx)
}

// SetEngine replaces what is known about the engine, e.g. after an upgrade of it, and writes what changed.
func (r *Registry) SetEngine(ctx context.Context, e Engine) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg.Engine = e
	return r.writeLocked(ctx)
}

// SetReadiness makes all nodes say how the engine is. Writing the same again costs nothing.
func (r *Registry) SetReadiness(ctx context.Context, readiness Readiness) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readiness = readiness
	return r.writeLocked(ctx)
}

func (r *Registry) writeLocked(ctx context.Context) error {
	existing, err := r.cfg.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	byName := make(map[string]*corev1.Node, len(existing.Items))
	for i := range existing.Items {
		byName[existing.Items[i].Name] = &existing.Items[i]
	}
	var errs []error
	for _, n := range r.cfg.Nodes {
		if err := r.ensure(ctx, n, byName[n.Name]); err != nil {
			errs = append(errs, fmt.Errorf("register node %s: %w", n.Name, err))
		}
		delete(byName, n.Name)
	}
	for name, n := range byName {
		if _, ours := n.Annotations[AnnotationEngine]; !ours {
			continue
		}
		if err := r.cfg.Client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete node %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Registry) ensure(ctx context.Context, n Node, existing *corev1.Node) error {
	nodes := r.cfg.Client.CoreV1().Nodes()
	d := description{
		node: n, engine: r.cfg.Engine, ip: r.cfg.IP, profile: r.cfg.Profile,
		kubeletVersion: r.cfg.KubernetesVersion, readiness: r.readiness, now: metav1.NewTime(r.cfg.Now()),
	}
	if existing == nil {
		created, err := nodes.Create(ctx, describe(d, nil), metav1.CreateOptions{})
		if err == nil {
			// Admission gives a node that is created the taint not-ready, which would keep pods off until the
			// taints controller has run.
			return errors.Join(r.dropNotReady(ctx, created), r.createLease(ctx, created))
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		if existing, err = nodes.Get(ctx, n.Name, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		want := describe(d, existing)
		current, err := existing, error(nil)
		if !equality.Semantic.DeepEqual(existing.ObjectMeta, want.ObjectMeta) || !equality.Semantic.DeepEqual(existing.Spec, want.Spec) {
			current, err = nodes.Update(ctx, want, metav1.UpdateOptions{})
		}
		if err == nil && changed(existing.Status, want.Status) {
			current = current.DeepCopy()
			current.Status = want.Status
			_, err = nodes.UpdateStatus(ctx, current, metav1.UpdateOptions{})
		}
		if apierrors.IsConflict(err) {
			if fresh, getErr := nodes.Get(ctx, n.Name, metav1.GetOptions{}); getErr == nil {
				existing = fresh
			}
		}
		return err
	})
}

func (r *Registry) dropNotReady(ctx context.Context, n *corev1.Node) error {
	if r.readiness.Status != corev1.ConditionTrue {
		return nil
	}
	add, remove := planTaints(n)
	if len(add) == 0 && len(remove) == 0 {
		return nil
	}
	return applyTaints(ctx, r.cfg.Client, n.Name, add, remove)
}

// createLease makes the Lease that kubectl describe looks for. It is never renewed, and says so by having no time of
// renewal: nobody watches for heartbeats here.
func (r *Registry) createLease(ctx context.Context, n *corev1.Node) error {
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, Namespace: corev1.NamespaceNodeLease,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &n.Name},
	}
	_, err := r.cfg.Client.CoordinationV1().Leases(lease.Namespace).Create(ctx, lease, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create lease: %w", err)
	}
	return nil
}

// changed tells whether two statuses differ by more than the time they were written.
func changed(a, b corev1.NodeStatus) bool {
	timeless := func(s corev1.NodeStatus) corev1.NodeStatus {
		s = *s.DeepCopy()
		for i := range s.Conditions {
			s.Conditions[i].LastHeartbeatTime = metav1.Time{}
			s.Conditions[i].LastTransitionTime = metav1.Time{}
		}
		return s
	}
	return !equality.Semantic.DeepEqual(timeless(a), timeless(b))
}
