package watch

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/plan"
)

// target is the cluster as the loop needs it. *cluster.Cluster is the real one.
type target interface {
	Version() string
	Learn([]*unstructured.Unstructured)
	Resolve(*unstructured.Unstructured) (plan.Ref, error)
	Refresh()
	Members(context.Context) ([]plan.Member, error)
	Remember(context.Context, []plan.Ref) error
	Forget(context.Context, []plan.Ref) error
	Apply(context.Context, cluster.Request) (cluster.Result, error)
	AwaitKind(ctx context.Context, name string) error
	Prune(ctx context.Context, member plan.Member, dryRun bool) error
	Explain(context.Context, cluster.Request, error) []cluster.Explanation
	Restart(ctx context.Context, ref plan.Ref, apiVersion string, path []string, annotations map[string]string) (live *unstructured.Unstructured, changed bool, err error)
}

// follower watches what becomes of objects that were applied. *outcome.Follower is the real one.
type follower interface {
	// Run works until the context ends.
	Run(context.Context)
	// Applied says that an object was sent and what the cluster made of it.
	Applied(plan.Ref, *unstructured.Unstructured)
	// Known says that an object is a member already, from an earlier run.
	Known(plan.Ref)
	// Pruned says that the set deletes an object.
	Pruned(plan.Ref)
	// Runs reports whether all pods of an object run this image in these containers, and whether that is certain: a pod
	// that is just being started has not said yet.
	Runs(ref plan.Ref, containers []string, imageID string) (runs, certain bool)
}

type noFollower struct{}

func (noFollower) Run(ctx context.Context)                      { <-ctx.Done() }
func (noFollower) Applied(plan.Ref, *unstructured.Unstructured) {}
func (noFollower) Known(plan.Ref)                               {}
func (noFollower) Pruned(plan.Ref)                              {}
func (noFollower) Runs(plan.Ref, []string, string) (bool, bool) { return false, true }
