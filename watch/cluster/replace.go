package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// replaceTimeout bounds the wait for the old object to go; chosen as a pod's default grace and some.
const replaceTimeout = 45 * time.Second

// replaceable reports whether an object that can't be changed as the file demands should be deleted and made anew.
// Jobs and bare Pods are: their templates can't be changed, and who edits one wants it to run again. Others ask for it.
//
// That the change is forbidden, and not the manifest wrong, shows in that the server would accept it as a new object.
func (c *Cluster) replaceable(ctx context.Context, err error, request Request, resource dynamic.ResourceInterface, live *unstructured.Unstructured) bool {
	if !apierrors.IsInvalid(err) || request.DryRun {
		return false
	}
	gk := request.Object.GroupVersionKind().GroupKind()
	asked := request.Object.GetAnnotations()[annReplace]
	runsOnce := gk.Group == "batch" && gk.Kind == "Job" || gk.Group == "" && gk.Kind == "Pod"
	if asked == "false" || asked != "true" && !runsOnce {
		return false
	}
	if metav1.GetControllerOf(live) != nil {
		return false
	}
	fresh := c.prepare(request)
	fresh.SetName("")
	fresh.SetGenerateName("skiff-check-")
	_, err = resource.Create(ctx, fresh, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager})
	return err == nil
}

func (c *Cluster) replace(ctx context.Context, resource dynamic.ResourceInterface, request Request, live *unstructured.Unstructured, body []byte, warned *warningList) (Result, error) {
	uid, background := live.GetUID(), metav1.DeletePropagationBackground
	err := resource.Delete(ctx, request.Ref.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return Result{}, fmt.Errorf("delete it to make it anew: %w", err)
	}
	if err := waitGone(ctx, resource, request.Ref.Name, uid); err != nil {
		return Result{}, err
	}
	applied, _, err := c.send(ctx, resource, request, body)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Action: Replaced, Live: applied, Member: memberOf(request.Object.GroupVersionKind(), applied),
		Notes: append([]string{"it can't be changed in place"}, warned.take()...),
	}, nil
}

// waitGone polls, quickly at first: most objects are gone at once, a pod takes as long as its containers.
func waitGone(ctx context.Context, resource dynamic.ResourceInterface, name string, uid types.UID) error {
	deadline := time.Now().Add(replaceTimeout)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		now, err := resource.Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), err == nil && now.GetUID() != uid:
			return nil
		case err != nil:
			return fmt.Errorf("wait for the old one to go: %w", err)
		case time.Now().After(deadline):
			return &TerminatingError{Finalizers: now.GetFinalizers()}
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), errors.New("the old one is deleted, the new one is not made yet"))
		case <-time.After(pause):
		}
	}
}
