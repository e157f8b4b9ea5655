package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff.local/skiff/watch/nearest"
	"skiff.local/skiff/watch/plan"
)

// UnknownKindError says that the cluster serves no such kind, now.
type UnknownKindError struct {
	GVK  schema.GroupVersionKind
	Hint string
}

func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("the cluster knows no kind %s in %s", e.GVK.Kind, e.GVK.GroupVersion())
}

// Learn takes note of the kinds that the set's own CustomResourceDefinitions define, so that objects of these kinds can
// be placed before the cluster serves them.
func (c *Cluster) Learn(objects []*unstructured.Unstructured) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.learned)
	for _, obj := range objects {
		if obj.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
		plural, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "plural")
		scope, _, _ := unstructured.NestedString(obj.Object, "spec", "scope")
		versions, _, _ := unstructured.NestedSlice(obj.Object, "spec", "versions")
		for _, version := range versions {
			fields, _ := version.(map[string]any)
			name, _ := fields["name"].(string)
			if served, _ := fields["served"].(bool); !served || name == "" || kind == "" || plural == "" {
				continue
			}
			gvk := schema.GroupVersionKind{Group: group, Version: name, Kind: kind}
			mapping := &meta.RESTMapping{GroupVersionKind: gvk, Resource: gvk.GroupVersion().WithResource(plural), Scope: meta.RESTScopeNamespace}
			if scope == "Cluster" {
				mapping.Scope = meta.RESTScopeRoot
			}
			c.learned[gvk] = mapping
		}
	}
}

// Version is the cluster's Kubernetes version, "" if it can't be asked.
func (c *Cluster) Version() string {
	version, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return ""
	}
	return version.GitVersion
}

// Refresh forgets what the cluster serves, so that it is asked again.
func (c *Cluster) Refresh() {
	c.mapper.Reset()
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.found)
}

func (c *Cluster) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	c.mu.Lock()
	known := c.learned[gvk]
	if known == nil {
		known = c.found[gvk]
	}
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return nil, &UnknownKindError{GVK: gvk, Hint: c.kindHint(gvk)}
	}
	if err != nil {
		return nil, fmt.Errorf("ask the cluster about %s: %w", gvk.Kind, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found[gvk] = mapping
	return mapping, nil
}

// Resolve finds where an object goes. Objects of cluster-wide kinds lose a namespace that was written by mistake,
// others get the set's when they have none.
func (c *Cluster) Resolve(obj *unstructured.Unstructured) (plan.Ref, error) {
	gvk := obj.GroupVersionKind()
	mapping, err := c.mapping(gvk)
	if err != nil {
		return plan.Ref{}, err
	}
	ref := plan.Ref{Group: gvk.Group, Kind: gvk.Kind, Name: obj.GetName()}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if ref.Namespace = obj.GetNamespace(); ref.Namespace == "" {
			ref.Namespace = c.set.Namespace
		}
	}
	return ref, nil
}

// kindHint suggests what was probably meant: the same kind elsewhere, or a kind of nearly the same name.
func (c *Cluster) kindHint(gvk schema.GroupVersionKind) string {
	_, lists, err := c.disco.ServerGroupsAndResources()
	if err != nil && len(lists) == 0 {
		return ""
	}
	served := map[string][]string{} // groups by kind
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, resource := range list.APIResources {
			if !strings.Contains(resource.Name, "/") && !slices.Contains(served[resource.Kind], gv.Group) {
				served[resource.Kind] = append(served[resource.Kind], gv.Group)
			}
		}
	}
	if groups := served[gvk.Kind]; len(groups) > 0 {
		return fmt.Sprintf("%s is served as apiVersion: %s", gvk.Kind, c.preferred(gvk, groups))
	}
	kinds := make([]string, 0, len(served))
	for kind := range served {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	if near := nearest.Of(gvk.Kind, kinds); near != "" {
		gvk.Kind = near
		return fmt.Sprintf("did you mean %s (apiVersion: %s)?", near, c.preferred(gvk, served[near]))
	}
	return "is its CustomResourceDefinition installed? It is tried again when one appears"
}

// preferred is the version to use for a kind that several groups serve: the group that was written, else any but the
// one that old tutorials name.
func (c *Cluster) preferred(gvk schema.GroupVersionKind, groups []string) string {
	group := groups[0]
	for _, candidate := range groups {
		if candidate == gvk.Group || group == "extensions" {
			group = candidate
		}
	}
	mapping, err := c.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: gvk.Kind})
	if err != nil {
		return group
	}
	return mapping.GroupVersionKind.GroupVersion().String()
}

// IsUnknownKind reports whether err says that the cluster serves no such kind.
func IsUnknownKind(err error) bool {
	var unknown *UnknownKindError
	return errors.As(err, &unknown)
}
