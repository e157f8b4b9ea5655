package watch

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/plan"
)

// Difference is what an apply would change. Before is "" for an object that would be created, After for one that would
// be pruned; both are YAML without what the server writes by itself, and with the values of Secrets hidden.
type Difference struct {
	Ref    plan.Ref `json:"object"`
	Before string   `json:"before,omitempty"`
	After  string   `json:"after,omitempty"`
}

// confirm computes what a plan would change by dry runs, and asks. What the server refuses is left out: the apply
// says why.
func (s *Set) confirm(ctx context.Context, p plan.Plan) bool {
	var differences []Difference
	for _, step := range p.Steps {
		for _, op := range step.Ops {
			obj := s.state.objects[op.Index]
			result, err := s.target.Apply(ctx, cluster.Request{Object: obj.Unstructured, Ref: obj.ref, Hash: obj.Hash, Unit: obj.unit, DryRun: true, TakeOver: s.definition.TakeOver})
			if cluster.IsUnknownKind(err) || apierrors.IsNotFound(err) {
				// A namespace or kind that this plan creates makes its objects impossible to try.
				differences = append(differences, Difference{Ref: obj.ref, After: readable(obj.Unstructured, nil)})
				continue
			}
			if err != nil || result.Action == cluster.Unchanged {
				continue
			}
			differences = append(differences, Difference{Ref: obj.ref, Before: readable(result.Before, result.Live), After: readable(result.Live, result.Before)})
		}
	}
	for _, op := range p.Prune {
		differences = append(differences, Difference{Ref: op.Ref, Before: fmt.Sprintf("%s # %s\n", op.Ref, op.Cause)})
	}
	if len(differences) == 0 {
		return true
	}
	return s.config.Confirm(differences)
}

// readable is an object as a person would compare it with its other version.
func readable(obj, other *unstructured.Unstructured) string {
	if obj == nil {
		return ""
	}
	obj = obj.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(obj.Object, "status")
	cluster.HideMarks(obj)
	if obj.GetKind() == "Secret" && obj.GetAPIVersion() == "v1" {
		hideValues(obj, other)
	}
	text, err := yaml.Marshal(obj.Object)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// hideValues replaces a Secret's values by words that still tell whether they differ.
func hideValues(obj, other *unstructured.Unstructured) {
	for _, field := range []string{"data", "stringData"} {
		values, _, _ := unstructured.NestedMap(obj.Object, field)
		if values == nil {
			continue
		}
		var others map[string]any
		if other != nil {
			others, _, _ = unstructured.NestedMap(other.Object, field)
		}
		for key, value := range values {
			values[key] = "(hidden)"
			if before, both := others[key]; both && before != value {
				values[key] = fmt.Sprintf("(hidden, %d characters)", len(fmt.Sprint(value)))
				if len(fmt.Sprint(value)) == len(fmt.Sprint(before)) {
					values[key] = "(hidden, differs)"
				}
			}
		}
		_ = unstructured.SetNestedMap(obj.Object, values, field)
	}
}
