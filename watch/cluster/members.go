package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"golang.org/x/sync/errgroup"

	"skiff.local/skiff/watch/plan"
)

// record is what a set's parent says about where to look for members.
type record struct {
	kinds      []string // Kind.group, sorted
	namespaces []string // besides the set's own, sorted
	exists     bool
}

func (r record) covers(other record) bool {
	for _, kind := range other.kinds {
		if !slices.Contains(r.kinds, kind) {
			return false
		}
	}
	for _, namespace := range other.namespaces {
		if !slices.Contains(r.namespaces, namespace) {
			return false
		}
	}
	return r.exists
}

func (r record) union(other record) record {
	return record{exists: true,
		kinds:      sorted(append(slices.Clone(r.kinds), other.kinds...)),
		namespaces: sorted(append(slices.Clone(r.namespaces), other.namespaces...)),
	}
}

func sorted(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}

// Members lists what the cluster holds of the set. A kind that the cluster no longer serves has no members.
func (c *Cluster) Members(ctx context.Context) ([]plan.Member, error) {
	parent, err := c.client.CoreV1().ConfigMaps(c.set.Namespace).Get(ctx, c.set.parent(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of set %s: %w", c.set.Name, err)
	}
	known := recordOf(parent)
	c.mu.Lock()
	c.stored = known
	c.mu.Unlock()
	var (
		mu      sync.Mutex
		members []plan.Member
	)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, kind := range known.kinds {
		gk := schema.ParseGroupKind(kind)
		mapping, err := c.mapper.RESTMapping(gk)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask the cluster about %s: %w", kind, err)
		}
		group.Go(func() error {
			found, err := c.list(ctx, mapping, known)
			if err != nil {
				return fmt.Errorf("list %s of set %s: %w", gk.Kind, c.set.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			members = append(members, found...)
			return nil
		})
	}
	return members, group.Wait()
}

// list asks for all namespaces at once, and one by one where that isn't allowed.
func (c *Cluster) list(ctx context.Context, mapping *meta.RESTMapping, known record) ([]plan.Member, error) {
	options := metav1.ListOptions{LabelSelector: c.MemberSelector()}
	resource := c.metadata.Resource(mapping.Resource)
	all, err := resource.List(ctx, options)
	if err == nil {
		return membersOf(mapping, all.Items), nil
	}
	if !apierrors.IsForbidden(err) || mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return nil, err
	}
	var members []plan.Member
	for _, namespace := range append([]string{c.set.Namespace}, known.namespaces...) {
		list, err := resource.Namespace(namespace).List(ctx, options)
		if err != nil {
			return nil, err
		}
		members = append(members, membersOf(mapping, list.Items)...)
	}
	return members, nil
}

func membersOf(mapping *meta.RESTMapping, items []metav1.PartialObjectMetadata) []plan.Member {
	members := make([]plan.Member, 0, len(items))
	for i := range items {
		if items[i].DeletionTimestamp == nil {
			members = append(members, memberOf(mapping.GroupVersionKind, &items[i]))
		}
	}
	return members
}

func memberOf(gvk schema.GroupVersionKind, obj metav1.Object) plan.Member {
	annotations := obj.GetAnnotations()
	member := plan.Member{
		Ref:  plan.Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()},
		Hash: annotations[annHash], Unit: annotations[annUnit], UID: string(obj.GetUID()),
	}
	if annotations[annOptOut] == "false" {
		member.Keep = "its annotation " + annOptOut + " asks to keep it"
	}
	return member
}

func recordOf(parent *corev1.ConfigMap) record {
	split := func(annotation string) []string {
		return sorted(strings.FieldsFunc(parent.Annotations[annotation], func(r rune) bool { return r == ',' }))
	}
	return record{exists: true, kinds: split(annKinds), namespaces: split(annNamespaces)}
}

// Remember makes sure that the set's record covers these objects, before they are applied: an object that the record
// doesn't cover would never be found again if the process died. It writes only when the record has to grow.
func (c *Cluster) Remember(ctx context.Context, refs []plan.Ref) error {
	c.mu.Lock()
	stored := c.stored
	c.mu.Unlock()
	needed := recordFor(refs, c.set.Namespace)
	if stored.covers(needed) {
		return nil
	}
	return c.writeRecord(ctx, stored.union(needed))
}

// Forget lets the record shrink to these objects, after the others were pruned.
func (c *Cluster) Forget(ctx context.Context, refs []plan.Ref) error {
	c.mu.Lock()
	stored := c.stored
	c.mu.Unlock()
	needed := recordFor(refs, c.set.Namespace)
	if !stored.exists || needed.covers(stored) {
		return nil
	}
	return c.writeRecord(ctx, needed)
}

func recordFor(refs []plan.Ref, own string) record {
	r := record{exists: true}
	for _, ref := range refs {
		r.kinds = append(r.kinds, schema.GroupKind{Group: ref.Group, Kind: ref.Kind}.String())
		if ref.Namespace != "" && ref.Namespace != own {
			r.namespaces = append(r.namespaces, ref.Namespace)
		}
	}
	r.kinds, r.namespaces = sorted(r.kinds), sorted(r.namespaces)
	return r
}

func (c *Cluster) writeRecord(ctx context.Context, r record) error {
	parent := applycorev1.ConfigMap(c.set.parent(), c.set.Namespace).
		WithLabels(map[string]string{labelID: c.set.ID()}).
		WithAnnotations(map[string]string{
			annTooling: tooling, annKinds: strings.Join(r.kinds, ","), annNamespaces: strings.Join(r.namespaces, ","),
			annSources: strings.Join(c.set.Sources, "\n"), annHost: c.set.Host,
		})
	_, err := c.client.CoreV1().ConfigMaps(c.set.Namespace).Apply(ctx, parent, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write the record of set %s: %w", c.set.Name, err)
	}
	c.mu.Lock()
	c.stored = r
	c.mu.Unlock()
	return nil
}

// Dissolve removes the set's record. The members, if any are left, belong to nobody then.
func (c *Cluster) Dissolve(ctx context.Context) error {
	err := c.client.CoreV1().ConfigMaps(c.set.Namespace).Delete(ctx, c.set.parent(), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the record of set %s: %w", c.set.Name, err)
	}
	return nil
}

// owner describes the set with this ID, for messages, and reports whether it may be taken over: its sources were on
// this machine and are gone.
func (c *Cluster) owner(ctx context.Context, namespace, id string) (name string, parent *corev1.ConfigMap) {
	for _, namespace := range []string{namespace, c.set.Namespace, metav1.NamespaceAll} {
		list, err := c.client.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: labelID + "=" + id})
		if err == nil && len(list.Items) > 0 {
			return strings.TrimPrefix(list.Items[0].Name, "skiff-set-"), &list.Items[0]
		}
	}
	return "", nil
}
