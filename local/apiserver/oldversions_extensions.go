package apiserver

import (
	"context"
	"slices"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	daemonsetstore "k8s.io/kubernetes/pkg/registry/apps/daemonset/storage"
	deploymentstore "k8s.io/kubernetes/pkg/registry/apps/deployment/storage"
	replicasetstore "k8s.io/kubernetes/pkg/registry/apps/replicaset/storage"
	ingressstore "k8s.io/kubernetes/pkg/registry/networking/ingress/storage"
	networkpolicystore "k8s.io/kubernetes/pkg/registry/networking/networkpolicy/storage"
)

// inOtherGroup adapts the stores of a resource that is served in a group that is not its own.
func inOtherGroup(stores map[string]rest.Storage, resource string) {
	stores[resource] = unlisted(stores[resource])
	switch scale := stores[resource+"/scale"].(type) {
	case *deploymentstore.ScaleREST:
		stores[resource+"/scale"] = foreignDeploymentScale{scale}
	case *replicasetstore.ScaleREST:
		stores[resource+"/scale"] = foreignReplicaSetScale{scale}
	}
}

// unlisted takes the short names and categories off a resource that another group serves as well: kubectl
// would warn that "deploy" is ambiguous, and "get all" would list every object twice.
func unlisted(s rest.Storage) rest.Storage {
	switch s := s.(type) {
	case *deploymentstore.REST:
		return unlistedDeployments{s, nameless{}}
	case *daemonsetstore.REST:
		return unlistedDaemonSets{s, nameless{}}
	case *replicasetstore.REST:
		return unlistedReplicaSets{s, nameless{}}
	case *ingressstore.REST:
		return unlistedIngresses{s, nameless{}}
	case *networkpolicystore.REST:
		return unlistedNetworkPolicies{s, nameless{}}
	}
	return s
}

// hideFromControllers takes the verbs off the list of resources that another group serves as well by which
// controllers find what they have to follow. Garbage collection, quota and the deletion of namespaces would
// watch and count every object twice. The verbs work all the same.
func hideFromControllers(resources []apidiscoveryv2.APIResourceDiscovery) {
	for i := range resources {
		resources[i].Verbs = slices.DeleteFunc(resources[i].Verbs, func(verb string) bool {
			return verb == "list" || verb == "watch" || verb == "deletecollection"
		})
	}
}

type nameless struct{}

func (nameless) ShortNames() []string { return nil }
func (nameless) Categories() []string { return nil }

// These embed the concrete stores, because what a resource can do is found out by the interfaces it has. A
// method that two embedded types have is none of the embedding one's: so they lose ShortNames and Categories.
type (
	unlistedDeployments struct {
		*deploymentstore.REST
		nameless
	}
	unlistedDaemonSets struct {
		*daemonsetstore.REST
		nameless
	}
	unlistedReplicaSets struct {
		*replicasetstore.REST
		nameless
	}
	unlistedIngresses struct {
		*ingressstore.REST
		nameless
	}
	unlistedNetworkPolicies struct {
		*networkpolicystore.REST
		nameless
	}
)

// A scale store ends the process when it is asked in a group that it does not know, because kube-apiserver
// would never do that. These have it believe that it is asked in its own.
type (
	foreignDeploymentScale struct{ *deploymentstore.ScaleREST }
	foreignReplicaSetScale struct{ *replicasetstore.ScaleREST }
)

func (s foreignDeploymentScale) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, force bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.ScaleREST.Update(asApps(ctx), name, info, create, update, force, options)
}

func (s foreignReplicaSetScale) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, force bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.ScaleREST.Update(asApps(ctx), name, info, create, update, force, options)
}

func asApps(ctx context.Context) context.Context {
	info, ok := request.RequestInfoFrom(ctx)
	if !ok {
		return ctx
	}
	own := *info
	own.APIGroup, own.APIVersion = appsv1.SchemeGroupVersion.Group, appsv1.SchemeGroupVersion.Version
	return request.WithRequestInfo(ctx, &own)
}
