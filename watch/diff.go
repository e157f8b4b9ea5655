package watch

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"skiff.local/skiff/watch/plan"
)

// Difference is what an apply would change. Before is nil for an object that would be created, After for one that would
// be pruned.
type Difference struct {
	Ref           plan.Ref
	Before, After *unstructured.Unstructured
}

func (s *Set) confirm(context.Context, plan.Plan) bool { return s.config.Confirm(nil) }
