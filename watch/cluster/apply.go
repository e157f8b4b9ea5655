package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"

	"skiff.local/skiff/watch/plan"
)

// Action is what an apply did.
type Action string

// What an apply can do.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Replaced   Action = "replaced"
)

// Result is the outcome of one apply.
type Result struct {
	Action Action
	// Fields are the paths of the fields that changed, if the object was there before.
	Fields []string
	// Notes are what a person should know: taken-over fields, warnings of the API server.
	Notes []string
	// Member is the object as a member of the set.
	Member plan.Member
	// Live is the object as the cluster returned it, Before as it was, nil if it was not there.
	Live, Before *unstructured.Unstructured
}

// Request asks for one object to be applied.
type Request struct {
	Object *unstructured.Unstructured
	Ref    plan.Ref
	Hash   string
	Unit   string
	// DryRun lets the server do everything but keep it.
	DryRun bool
	// TakeOver takes an object away from another set that still exists.
	TakeOver bool
}

// OwnedError says that an object belongs to another set or tool.
type OwnedError struct {
	Set     string
	Sources []string
	Tool    string
}

func (e *OwnedError) Error() string {
	switch {
	case e.Set == "":
		return "it belongs to another set, whose record is gone or hidden"
	case e.Tool != "" && !strings.HasPrefix(e.Tool, "skiff/"):
		return fmt.Sprintf("it belongs to the set %s of %s", e.Set, e.Tool)
	default:
		return fmt.Sprintf("it belongs to the set %s (%s)", e.Set, strings.Join(e.Sources, ", "))
	}
}

// TerminatingError says that the object of that name is on its way out.
type TerminatingError struct{ Finalizers []string }

func (e *TerminatingError) Error() string {
	if len(e.Finalizers) > 0 {
		return "the old one is still being deleted, held by " + strings.Join(e.Finalizers, ", ")
	}
	return "the old one is still being deleted"
}

// Apply sends one object. The object is looked at first, because that tells what changes, whose it is, and whether a
// client-side apply left its traces; on a local cluster the look costs a millisecond.
func (c *Cluster) Apply(ctx context.Context, request Request) (Result, error) {
	mapping, err := c.mapping(request.Object.GroupVersionKind())
	if err != nil {
		return Result{}, err
	}
	var resource dynamic.ResourceInterface = c.dynamic.Resource(mapping.Resource)
	if request.Ref.Namespace != "" {
		resource = c.dynamic.Resource(mapping.Resource).Namespace(request.Ref.Namespace)
	}
	ctx, warned := collectWarnings(ctx)
	live, err := resource.Get(ctx, request.Ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		live = nil
	case err != nil:
		return Result{}, fmt.Errorf("look at it: %w", err)
	case live.GetDeletionTimestamp() != nil:
		return Result{}, &TerminatingError{Finalizers: live.GetFinalizers()}
	}
	var notes []string
	if live != nil {
		note, err := c.adopt(ctx, resource, live, request)
		if err != nil {
			return Result{}, err
		}
		notes = append(notes, note...)
	}
	body, err := json.Marshal(c.prepare(request))
	if err != nil {
		return Result{}, fmt.Errorf("encode it: %w", err)
	}
	applied, forced, err := c.send(ctx, resource, request, body)
	if err != nil {
		if live == nil || !c.replaceable(ctx, err, request, resource, live) {
			return Result{}, err
		}
		return c.replace(ctx, resource, request, live, body, warned)
	}
	result := Result{Action: Configured, Live: applied, Before: live, Notes: append(append(notes, forced...), warned.take()...)}
	switch {
	case live == nil:
		result.Action = Created
	case live.GetResourceVersion() == applied.GetResourceVersion() && !request.DryRun:
		result.Action = Unchanged
	default:
		if result.Fields = changedFields(live.Object, applied.Object); len(result.Fields) == 0 {
			result.Action = Unchanged
		}
	}
	result.Member = memberOf(request.Object.GroupVersionKind(), applied)
	return result, nil
}

// prepare makes the object that is sent of the one that was written: what only the server may say is left out, and
// what makes it a member of the set is added.
func (c *Cluster) prepare(request Request) *unstructured.Unstructured {
	obj := request.Object.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	if request.Ref.Namespace == "" {
		unstructured.RemoveNestedField(obj.Object, "metadata", "namespace")
	} else {
		obj.SetNamespace(request.Ref.Namespace)
	}
	labels := obj.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelPartOf] = c.set.ID()
	obj.SetLabels(labels)
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	annotations[annHash] = request.Hash
	annotations[annUnit] = request.Unit
	obj.SetAnnotations(annotations)
	return obj
}

// send applies without force first, to be able to say whose fields were taken over, and then with it: in a set, the
// files are what counts.
func (c *Cluster) send(ctx context.Context, resource dynamic.ResourceInterface, request Request, body []byte) (*unstructured.Unstructured, []string, error) {
	options := metav1.PatchOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict}
	if request.DryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	applied, err := resource.Patch(ctx, request.Ref.Name, types.ApplyPatchType, body, options)
	if err == nil || !apierrors.IsConflict(err) {
		return applied, nil, err
	}
	notes := conflictNotes(err)
	force := true
	options.Force = &force
	applied, err = resource.Patch(ctx, request.Ref.Name, types.ApplyPatchType, body, options)
	return applied, notes, err
}

func conflictNotes(err error) []string {
	status, ok := err.(apierrors.APIStatus)
	if !ok || status.Status().Details == nil {
		return nil
	}
	var notes []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			who := strings.TrimPrefix(cause.Message, "conflict with ")
			notes = append(notes, fmt.Sprintf("took over %s from %s", strings.TrimPrefix(cause.Field, "."), who))
		}
	}
	return notes
}

// adopt checks that an existing object may become or stay a member.
func (c *Cluster) adopt(ctx context.Context, resource dynamic.ResourceInterface, live *unstructured.Unstructured, request Request) ([]string, error) {
	var notes []string
	switch owner := live.GetLabels()[labelPartOf]; {
	case owner == c.set.ID():
		return nil, nil
	case owner != "":
		name, parent := c.owner(ctx, request.Ref.Namespace, owner)
		owned := &OwnedError{Set: name}
		if parent != nil {
			owned.Tool = parent.Annotations[annTooling]
			owned.Sources = strings.Split(parent.Annotations[annSources], "\n")
			if !request.TakeOver && !c.abandoned(parent, owned.Sources) {
				return nil, owned
			}
			notes = append(notes, fmt.Sprintf("took it over from the set %s", name))
		} else {
			notes = append(notes, "took it over from a set that is gone")
		}
	}
	if request.DryRun {
		return notes, nil
	}
	if c.upgrade(ctx, resource, live) {
		notes = append(notes, "took it over from kubectl")
	}
	return notes, nil
}

// upgrade hands over the fields that `kubectl apply` and `kubectl create` wrote: under their managers' names they would
// stay alive after they left the manifest. kubectl's own --server-side does the same. Where it fails the apply works
// too, such fields just linger.
func (c *Cluster) upgrade(ctx context.Context, resource dynamic.ResourceInterface, live *unstructured.Unstructured) bool {
	managers := sets.New("kubectl-client-side-apply", "kubectl-create")
	for range 5 {
		patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, managers, FieldManager)
		if err != nil || patch == nil {
			return false
		}
		_, err = resource.Patch(ctx, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
		if !apierrors.IsConflict(err) {
			return err == nil
		}
		// A controller was faster: look again.
		if live, err = resource.Get(ctx, live.GetName(), metav1.GetOptions{}); err != nil {
			return false
		}
	}
	return false
}

// abandoned reports whether another set's sources were on this machine and are gone: the directory was moved or
// renamed, and this set goes on where that one ended.
func (c *Cluster) abandoned(parent *corev1.ConfigMap, sources []string) bool {
	if parent.Annotations[annHost] != c.set.Host || c.set.Host == "" || len(sources) == 0 {
		return false
	}
	for _, source := range sources {
		if _, err := os.Stat(source); source == "" || !os.IsNotExist(err) {
			return false
		}
	}
	return true
}
