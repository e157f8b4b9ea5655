package metrics

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/metrics/pkg/apis/metrics"
)

// What a storage has to be for kubectl and the HPA.
var (
	_ rest.Getter               = (*podStorage)(nil)
	_ rest.Lister               = (*podStorage)(nil)
	_ rest.Scoper               = (*podStorage)(nil)
	_ rest.SingularNameProvider = (*podStorage)(nil)
	_ rest.Getter               = (*nodeStorage)(nil)
	_ rest.Lister               = (*nodeStorage)(nil)
	_ rest.Scoper               = (*nodeStorage)(nil)
	_ rest.SingularNameProvider = (*nodeStorage)(nil)
)

// podStorage serves PodMetrics.
type podStorage struct{ sampler }

func (s *podStorage) New() runtime.Object             { return &metrics.PodMetrics{} }
func (s *podStorage) NewList() runtime.Object         { return &metrics.PodMetricsList{} }
func (s *podStorage) Destroy()                        {}
func (s *podStorage) Kind() string                    { return "PodMetrics" }
func (s *podStorage) NamespaceScoped() bool           { return true }
func (s *podStorage) GetSingularName() string         { return "" }
func (s *podStorage) resource() schema.GroupResource  { return metrics.Resource("pods") }
func (s *podStorage) fields(p *corev1.Pod) fields.Set { return objectFields(p.Name, p.Namespace) }

// List samples the pods that match.
func (s *podStorage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	selector, field := selectors(options)
	pods, err := s.pods.Pods(request.NamespaceValue(ctx)).List(selector)
	if err != nil {
		return nil, err
	}
	pods = slices.DeleteFunc(pods, func(p *corev1.Pod) bool { return !field.Matches(s.fields(p)) })
	items, err := s.podMetrics(ctx, pods)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(items, func(a, b metrics.PodMetrics) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return &metrics.PodMetricsList{Items: items}, nil
}

// Get samples one pod.
func (s *podStorage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	pod, err := s.pods.Pods(request.NamespaceValue(ctx)).Get(name)
	if err != nil {
		return nil, notFound(err, s.resource(), name)
	}
	items, err := s.podMetrics(ctx, []*corev1.Pod{pod})
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, apierrors.NewNotFound(s.resource(), name)
	}
	return &items[0], nil
}

// nodeStorage serves NodeMetrics.
type nodeStorage struct{ sampler }

func (s *nodeStorage) New() runtime.Object            { return &metrics.NodeMetrics{} }
func (s *nodeStorage) NewList() runtime.Object        { return &metrics.NodeMetricsList{} }
func (s *nodeStorage) Destroy()                       {}
func (s *nodeStorage) Kind() string                   { return "NodeMetrics" }
func (s *nodeStorage) NamespaceScoped() bool          { return false }
func (s *nodeStorage) GetSingularName() string        { return "" }
func (s *nodeStorage) resource() schema.GroupResource { return metrics.Resource("nodes") }

// List samples the pods of the nodes that match.
func (s *nodeStorage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	selector, field := selectors(options)
	nodes, err := s.nodes.List(selector)
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n *corev1.Node) bool { return !field.Matches(objectFields(n.Name, "")) })
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	items, err := s.nodeMetrics(ctx, nodes)
	if err != nil {
		return nil, err
	}
	return &metrics.NodeMetricsList{Items: items}, nil
}

// Get samples the pods of one node.
func (s *nodeStorage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	node, err := s.nodes.Get(name)
	if err != nil {
		return nil, notFound(err, s.resource(), name)
	}
	items, err := s.nodeMetrics(ctx, []*corev1.Node{node})
	if err != nil {
		return nil, err
	}
	return &items[0], nil
}

func selectors(options *internalversion.ListOptions) (labels.Selector, fields.Selector) {
	label, field := labels.Everything(), fields.Everything()
	if options != nil && options.LabelSelector != nil {
		label = options.LabelSelector
	}
	if options != nil && options.FieldSelector != nil {
		field = options.FieldSelector
	}
	return label, field
}

func objectFields(name, namespace string) fields.Set {
	return fields.Set{"metadata.name": name, "metadata.namespace": namespace}
}
