package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"skiff.local/skiff/watch/plan"
)

// Prune deletes a member, and only that very object: not one of the same name made since, and not one that was given
// to another set meanwhile. An object that is gone already is pruned.
func (c *Cluster) Prune(ctx context.Context, member plan.Member, dryRun bool) error {
	mapping, err := c.mapper.RESTMapping(schema.GroupKind{Group: member.Ref.Group, Kind: member.Ref.Kind})
	if meta.IsNoMatchError(err) {
		return nil // the kind is gone and took its objects along
	}
	if err != nil {
		return fmt.Errorf("ask the cluster about %s: %w", member.Ref.Kind, err)
	}
	live, err := c.metadata.Resource(mapping.Resource).Namespace(member.Ref.Namespace).Get(ctx, member.Ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at it: %w", err)
	}
	if live.Labels[labelPartOf] != c.set.ID() || member.UID != "" && string(live.UID) != member.UID {
		return nil
	}
	uid, background := live.UID, metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	err = c.metadata.Resource(mapping.Resource).Namespace(member.Ref.Namespace).Delete(ctx, member.Ref.Name, options)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete it: %w", err)
	}
	return nil
}

// kindTimeout bounds the wait for a kind; an API server establishes one within a second even under load.
const kindTimeout = 15 * time.Second

// AwaitKind waits until the cluster serves the kind that a CustomResourceDefinition defines.
func (c *Cluster) AwaitKind(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, kindTimeout)
	defer cancel()
	resource := c.dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		crd, err := resource.Get(ctx, name, metav1.GetOptions{})
		if err == nil && conditionIs(crd, "Established", "True") {
			return c.awaitServed(ctx, crd)
		}
		if err == nil && conditionIs(crd, "NamesAccepted", "False") {
			return fmt.Errorf("its names are taken by another CustomResourceDefinition")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the cluster to serve it: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// awaitServed waits until a list of the kind answers: for a moment after it is established the handler isn't there.
func (c *Cluster) awaitServed(ctx context.Context, crd *unstructured.Unstructured) error {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	stored, _, _ := unstructured.NestedStringSlice(crd.Object, "status", "storedVersions")
	if len(stored) == 0 {
		return nil
	}
	resource := c.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: stored[len(stored)-1], Resource: plural})
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		_, err := resource.List(ctx, metav1.ListOptions{Limit: 1})
		if !apierrors.IsNotFound(err) {
			return nil // served; whether this user may list is another matter
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the cluster to serve it: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

func conditionIs(obj *unstructured.Unstructured, kind, status string) bool {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, condition := range conditions {
		fields, _ := condition.(map[string]any)
		if fields["type"] == kind {
			return fields["status"] == status
		}
	}
	return false
}

// resourceFor is where an object of the set lives.
func (c *Cluster) resourceFor(ref plan.Ref) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapper.RESTMapping(schema.GroupKind{Group: ref.Group, Kind: ref.Kind})
	if err != nil {
		return nil, fmt.Errorf("ask the cluster about %s: %w", ref.Kind, err)
	}
	if ref.Namespace == "" {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(ref.Namespace), nil
}

// Restart gives the pods of a workload a reason to be replaced: annotations on its template that a manager of their own
// owns, so that the manifests neither know nor remove them. Changed is false when they were there already.
func (c *Cluster) Restart(ctx context.Context, ref plan.Ref, apiVersion string, path []string, annotations map[string]string) (live *unstructured.Unstructured, changed bool, err error) {
	resource, err := c.resourceFor(ref)
	if err != nil {
		return nil, false, err
	}
	before, err := resource.Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, false, fmt.Errorf("look at %s: %w", ref, err)
	}
	values := map[string]any{}
	for key, value := range annotations {
		values[key] = value
	}
	patch := &unstructured.Unstructured{Object: map[string]any{}}
	patch.SetAPIVersion(apiVersion)
	patch.SetKind(ref.Kind)
	patch.SetName(ref.Name)
	patch.SetNamespace(ref.Namespace)
	if err := unstructured.SetNestedMap(patch.Object, values, append(slices.Clone(path), "metadata", "annotations")...); err != nil {
		return nil, false, fmt.Errorf("give %s new pods: %w", ref, err)
	}
	body, err := patch.MarshalJSON()
	if err != nil {
		return nil, false, fmt.Errorf("give %s new pods: %w", ref, err)
	}
	force := true
	live, err = resource.Patch(ctx, ref.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: FieldManager + "-images", Force: &force})
	if err != nil {
		return nil, false, fmt.Errorf("give %s new pods: %w", ref, err)
	}
	return live, live.GetGeneration() != before.GetGeneration(), nil
}
