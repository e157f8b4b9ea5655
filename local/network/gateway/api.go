package gateway

import (
	"context"
	"fmt"
	"reflect"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/gateway/plan"
)

// A resource is one of the Gateway API's that is read.
type resource struct {
	name     string
	versions []string // that have the form of the Go type, best first
	example  runtime.Object
}

// The names of the resources, in the plural.
const (
	classes    = "gatewayclasses"
	gateways   = "gateways"
	httpRoutes = "httproutes"
	grpcRoutes = "grpcroutes"
	tlsRoutes  = "tlsroutes"
	sets       = "listenersets"
	policies   = "backendtlspolicies"
	grants     = "referencegrants"
)

var resources = []resource{
	{classes, []string{"v1"}, &gatewayv1.GatewayClass{}},
	{gateways, []string{"v1"}, &gatewayv1.Gateway{}},
	{httpRoutes, []string{"v1"}, &gatewayv1.HTTPRoute{}},
	{grpcRoutes, []string{"v1"}, &gatewayv1.GRPCRoute{}},
	{tlsRoutes, []string{"v1"}, &gatewayv1.TLSRoute{}},
	{sets, []string{"v1"}, &gatewayv1.ListenerSet{}},
	{policies, []string{"v1"}, &gatewayv1.BackendTLSPolicy{}},
	{grants, []string{"v1", "v1beta1"}, &gatewayv1.ReferenceGrant{}},
}

// resourceOf is the resource that an object is of.
func resourceOf(object plan.Object) string {
	for _, r := range resources {
		if reflect.TypeOf(r.example) == reflect.TypeOf(object) {
			return r.name
		}
	}
	return ""
}

// api reads and writes the resources that the cluster has.
type api struct {
	config  *rest.Config
	scheme  *runtime.Scheme
	codecs  serializer.CodecFactory
	changed func()
	watches map[string]*watch // by resource
}

// A watch keeps the objects of one resource.
type watch struct {
	version  string
	client   rest.Interface
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
}

func newAPI(config *rest.Config, changed func()) *api {
	a := &api{config: config, scheme: runtime.NewScheme(), changed: changed, watches: map[string]*watch{}}
	for _, version := range []string{"v1", "v1beta1"} {
		gv := schema.GroupVersion{Group: gatewayv1.GroupName, Version: version}
		a.scheme.AddKnownTypes(gv, &gatewayv1.GatewayClass{}, &gatewayv1.GatewayClassList{}, &gatewayv1.Gateway{}, &gatewayv1.GatewayList{},
			&gatewayv1.HTTPRoute{}, &gatewayv1.HTTPRouteList{}, &gatewayv1.GRPCRoute{}, &gatewayv1.GRPCRouteList{},
			&gatewayv1.TLSRoute{}, &gatewayv1.TLSRouteList{}, &gatewayv1.ListenerSet{}, &gatewayv1.ListenerSetList{},
			&gatewayv1.BackendTLSPolicy{}, &gatewayv1.BackendTLSPolicyList{},
			&gatewayv1.ReferenceGrant{}, &gatewayv1.ReferenceGrantList{})
		metav1.AddToGroupVersion(a.scheme, gv)
	}
	a.codecs = serializer.NewCodecFactory(a.scheme)
	return a
}

func (a *api) client(version string) (rest.Interface, error) {
	config := rest.CopyConfig(a.config)
	config.APIPath = "/apis"
	config.GroupVersion = &schema.GroupVersion{Group: gatewayv1.GroupName, Version: version}
	config.NegotiatedSerializer = a.codecs.WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	return rest.RESTClientFor(config)
}

// follow watches the resources whose CustomResourceDefinitions are established, and those alone.
func (a *api) follow(ctx context.Context, definitions []*apiextensionsv1.CustomResourceDefinition) error {
	served := map[string]string{}
	for _, d := range definitions {
		for _, r := range resources {
			if d.Spec.Names.Plural == r.name {
				served[r.name] = servedVersion(d, r.versions)
			}
		}
	}
	for name, w := range a.watches {
		if served[name] != w.version {
			w.stop()
			delete(a.watches, name)
		}
	}
	for _, r := range resources {
		version := served[r.name]
		if version == "" || a.watches[r.name] != nil {
			continue
		}
		if err := a.watch(ctx, r, version); err != nil {
			return fmt.Errorf("watch %s: %w", r.name, err)
		}
	}
	return nil
}

func servedVersion(d *apiextensionsv1.CustomResourceDefinition, versions []string) string {
	established := false
	for _, c := range d.Status.Conditions {
		established = established || c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	}
	if !established || d.DeletionTimestamp != nil {
		return ""
	}
	for _, want := range versions {
		for _, v := range d.Spec.Versions {
			if v.Name == want && v.Served {
				return want
			}
		}
	}
	return ""
}

func (a *api) watch(ctx context.Context, r resource, version string) error {
	client, err := a.client(version)
	if err != nil {
		return err
	}
	source := cache.NewListWatchFromClient(client, r.name, metav1.NamespaceAll, fields.Everything())
	informer := cache.NewSharedIndexInformer(source, r.example, 0, cache.Indexers{})
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { a.changed() }, UpdateFunc: func(any, any) { a.changed() }, DeleteFunc: func(any) { a.changed() },
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	a.watches[r.name] = &watch{version: version, client: client, informer: informer, stop: cancel}
	go informer.RunWithContext(ctx)
	go func() {
		if cache.WaitFor(ctx, "", registration.HasSyncedChecker()) {
			a.changed() // there may be no objects to say so
		}
	}()
	return nil
}

// complete reports whether there can be Gateways: the resources for it are there.
func (a *api) complete() bool { return a.watches[classes] != nil && a.watches[gateways] != nil }

// synced reports whether what there is of all resources is known.
func (a *api) synced() bool {
	for _, w := range a.watches {
		if !w.informer.HasSynced() {
			return false
		}
	}
	return true
}

// list returns what there is of a resource. The objects are shared.
func list[T any](a *api, name string) []T {
	w := a.watches[name]
	if w == nil {
		return nil
	}
	var out []T
	for _, o := range w.informer.GetStore().List() {
		out = append(out, o.(T))
	}
	return out
}
