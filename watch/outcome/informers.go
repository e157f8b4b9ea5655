package outcome

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"skiff.local/skiff/watch/plan"
)

// podWatch is the watch of one namespace's pods.
type podWatch struct {
	store cache.Store
}

// followLocked makes sure that an object's kind is watched, and the pods of its namespace if it has any.
func (f *Follower) followLocked(ref plan.Ref) {
	if f.ctx == nil || f.ctx.Err() != nil {
		return // Run does it, or it is over
	}
	gk := schema.GroupKind{Group: ref.Group, Kind: ref.Kind}
	if !f.kinds[gk] {
		f.kinds[gk] = true
		ctx := f.ctx
		f.waiting.Go(func() { f.watchKind(ctx, gk) })
	}
	if hasPods(gk) && f.pods[ref.Namespace] == nil {
		w := &podWatch{}
		f.pods[ref.Namespace] = w
		informer := coreinformers.NewPodInformer(f.config.Client, ref.Namespace, 0, cache.Indexers{})
		w.store = informer.GetStore()
		_ = informer.SetTransform(slimPod)
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { f.podChanged(obj) },
			UpdateFunc: func(_, obj any) { f.podChanged(obj) },
			DeleteFunc: func(obj any) { f.podChanged(obj) },
		})
		ctx := f.ctx
		f.waiting.Go(func() { informer.RunWithContext(ctx) })
	}
}

func hasPods(gk schema.GroupKind) bool {
	switch gk.Group {
	case "":
		return gk.Kind == "Pod" || gk.Kind == "ReplicationController"
	case "apps":
		return true
	case "batch":
		return gk.Kind == "Job" || gk.Kind == "CronJob"
	}
	return false
}

// watchKind watches the members of one kind: whole where there is an outcome, else only whether they are there.
func (f *Follower) watchKind(ctx context.Context, gk schema.GroupKind) {
	gvr, err := f.config.Resource(gk)
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.kinds, gk) // a later apply tries again
		return
	}
	namespace := metav1.NamespaceAll
	if _, err := f.config.Metadata.Resource(gvr).List(ctx, metav1.ListOptions{Limit: 1, LabelSelector: f.config.Selector}); apierrors.IsForbidden(err) {
		namespace = f.config.Namespace
	}
	tweak := func(options *metav1.ListOptions) { options.LabelSelector = f.config.Selector }
	var informer cache.SharedIndexInformer
	if Watched(gk) {
		informer = dynamicinformer.NewFilteredDynamicInformer(f.config.Dynamic, gvr, namespace, 0, cache.Indexers{}, tweak).Informer()
	} else {
		informer = metadatainformer.NewFilteredMetadataInformer(f.config.Metadata, gvr, namespace, 0, cache.Indexers{}, tweak).Informer()
	}
	_ = informer.SetTransform(dropManagedFields)
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { f.changed(gk, obj) },
		UpdateFunc: func(_, obj any) { f.changed(gk, obj) },
		DeleteFunc: func(obj any) { f.deleted(gk, obj) },
	})
	informer.RunWithContext(ctx)
}

func dropManagedFields(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

// slimPod keeps of a pod what is judged; a namespace of a shared cluster may hold thousands of them.
func slimPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, Labels: pod.Labels, OwnerReferences: pod.OwnerReferences,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp, ResourceVersion: pod.ResourceVersion,
		},
		Spec:   corev1.PodSpec{ReadinessGates: pod.Spec.ReadinessGates},
		Status: pod.Status,
	}, nil
}

func (f *Follower) changed(gk schema.GroupKind, obj any) {
	o, ok := obj.(metav1.Object)
	if !ok {
		return
	}
	ref := plan.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tracks[ref]
	if t == nil {
		return
	}
	t.uid = string(o.GetUID())
	if whole, ok := obj.(*unstructured.Unstructured); ok {
		t.object = whole
		f.dirtyLocked(ref, time.Now())
	}
}

func (f *Follower) deleted(gk schema.GroupKind, obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	o, ok := obj.(metav1.Object)
	if !ok {
		return
	}
	uid := string(o.GetUID())
	ref := plan.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
	f.mu.Lock()
	mine := f.pruned[uid]
	delete(f.pruned, uid)
	if t := f.tracks[ref]; t != nil && t.uid == uid {
		delete(f.tracks, ref)
	}
	f.mu.Unlock()
	if !mine {
		f.config.Gone(ref, uid)
	}
}

// podChanged has the workload that a pod belongs to looked at.
func (f *Follower) podChanged(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	if f.config.PodChanged != nil {
		defer f.config.PodChanged()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for ref, t := range f.tracks {
		if ref.Namespace == pod.Namespace && owns(t.ref, pod) {
			f.dirtyLocked(ref, time.Now())
		}
	}
}

// podsOfLocked are the pods of an object; of a Deployment only those of its newest template, since the old ones going
// away are no trouble.
func (f *Follower) podsOfLocked(t *track) []*corev1.Pod {
	w := f.pods[t.ref.Namespace]
	if w == nil {
		return nil
	}
	var found []*corev1.Pod
	var newest *corev1.Pod
	for _, obj := range w.store.List() {
		pod, ok := obj.(*corev1.Pod)
		if !ok || !owns(t.ref, pod) {
			continue
		}
		found = append(found, pod)
		if newest == nil || pod.CreationTimestamp.After(newest.CreationTimestamp.Time) {
			newest = pod
		}
	}
	if t.ref.Kind != "Deployment" || newest == nil {
		return found
	}
	var current []*corev1.Pod
	template := labels.Set{"pod-template-hash": newest.Labels["pod-template-hash"]}.AsSelector()
	for _, pod := range found {
		if template.Matches(labels.Set(pod.Labels)) {
			current = append(current, pod)
		}
	}
	return current
}

// owns reports whether a pod belongs to an object, directly or through the ReplicaSet or Job between them, whose
// names are made of the object's and a known suffix.
func owns(ref plan.Ref, pod *corev1.Pod) bool {
	if ref.Kind == "Pod" {
		return ref.Group == "" && ref.Name == pod.Name
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return false
	}
	switch ref.Kind {
	case "Deployment":
		return owner.Kind == "ReplicaSet" && owner.Name == ref.Name+"-"+pod.Labels["pod-template-hash"]
	case "CronJob":
		suffix, isJob := strings.CutPrefix(owner.Name, ref.Name+"-")
		return owner.Kind == "Job" && isJob && strings.Trim(suffix, "0123456789") == ""
	}
	return owner.Kind == ref.Kind && owner.Name == ref.Name
}

// Pods are the pods of an object, of a Deployment those of its newest template. They are shared: read only.
func (f *Follower) Pods(ref plan.Ref) []*corev1.Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tracks[ref]
	if t == nil {
		return nil
	}
	return f.podsOfLocked(t)
}

// Runs reports whether the pods of an object run an image in these containers: a tag that was moved to the image it
// meant already is no reason for new pods. A container that is being started has not said yet what it runs; then the
// answer is not certain.
func (f *Follower) Runs(ref plan.Ref, containers []string, imageID string) (runs, certain bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tracks[ref]
	if t == nil || imageID == "" {
		return false, true
	}
	pods := f.podsOfLocked(t)
	certain = len(pods) > 0
	for _, pod := range pods {
		said := 0
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			switch {
			case !slices.Contains(containers, status.Name) || status.ImageID == "":
			case !strings.HasSuffix(status.ImageID, strings.TrimPrefix(imageID, "sha256:")):
				return false, true
			default:
				said++
			}
		}
		certain = certain && said == len(containers)
	}
	return certain, certain
}
