package apiserver

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	api "k8s.io/kubernetes/pkg/apis/core"
	kubeletclient "k8s.io/kubernetes/pkg/kubelet/client"
	"k8s.io/kubernetes/pkg/probe"
	"k8s.io/kubernetes/pkg/registry/core/componentstatus"
	endpointsstore "k8s.io/kubernetes/pkg/registry/core/endpoint/storage"
	limitrangestore "k8s.io/kubernetes/pkg/registry/core/limitrange/storage"
	nodestore "k8s.io/kubernetes/pkg/registry/core/node/storage"
	pvstore "k8s.io/kubernetes/pkg/registry/core/persistentvolume/storage"
	pvcstore "k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim/storage"
	podstore "k8s.io/kubernetes/pkg/registry/core/pod/storage"
	podtemplatestore "k8s.io/kubernetes/pkg/registry/core/podtemplate/storage"
	controllerstore "k8s.io/kubernetes/pkg/registry/core/replicationcontroller/storage"
	corerest "k8s.io/kubernetes/pkg/registry/core/rest"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	servicestore "k8s.io/kubernetes/pkg/registry/core/service/storage"
	serviceaccountstore "k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// tokenExtension is how long a token that asked for an hour really lives, for clients that don't reload it;
// kube-apiserver's value.
const tokenExtension = 365 * 24 * time.Hour

// coreGroup makes the stores of the core group. It does by hand what corerest.New does, because that
// opens connections to etcd for the allocators of addresses and ports.
type coreGroup struct {
	generic *genericapiserver.Config
	factory *serverstorage.DefaultStorageFactory
	client  kubernetes.Interface
	shared  informers.SharedInformerFactory
	tokens  serviceaccount.TokenGenerator
	alloc   *allocators
	reach   *reach
}

func (c coreGroup) stores() (*genericapiserver.APIGroupInfo, error) {
	info, err := (&corerest.GenericConfig{
		StorageFactory:       c.factory,
		EventTTL:             eventTTL,
		LoopbackClientConfig: c.generic.LoopbackClientConfig,
		Informers:            c.shared,
	}).NewRESTStorage(c.generic.MergedResourceConfig, c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, fmt.Errorf("make generic stores of the core group: %w", err)
	}
	info.OptionsExternalVersion = &schema.GroupVersion{Version: "v1"}
	stores := info.VersionedResourcesStorageMap["v1"]
	for _, add := range []func(map[string]rest.Storage) error{c.addPlain, c.addWorkloads} {
		if err := add(stores); err != nil {
			return nil, fmt.Errorf("make stores of the core group: %w", err)
		}
	}
	return &info, nil
}

// addPlain adds the stores that depend on nothing else.
func (c coreGroup) addPlain(to map[string]rest.Storage) error {
	opts := c.generic.RESTOptionsGetter
	podTemplates, err := podtemplatestore.NewREST(opts)
	if err != nil {
		return err
	}
	limitRanges, err := limitrangestore.NewREST(opts)
	if err != nil {
		return err
	}
	volumes, volumesStatus, err := pvstore.NewREST(opts)
	if err != nil {
		return err
	}
	claims, claimsStatus, err := pvcstore.NewREST(opts)
	if err != nil {
		return err
	}
	controllers, err := controllerstore.NewStorage(opts)
	if err != nil {
		return err
	}
	to["podtemplates"] = podTemplates
	to["limitranges"] = limitRanges
	to["persistentvolumes"], to["persistentvolumes/status"] = volumes, volumesStatus
	to["persistentvolumeclaims"], to["persistentvolumeclaims/status"] = claims, claimsStatus
	to["replicationcontrollers"] = controllers.Controller
	to["replicationcontrollers/status"] = controllers.Status
	to["replicationcontrollers/scale"] = controllers.Scale
	to["componentstatuses"] = componentstatus.NewStorage(components)
	return nil
}

// components are those that `kubectl get componentstatuses` asks about. Here they live and die with the server: who gets
// an answer gets this one.
func components() map[string]componentstatus.Server {
	return map[string]componentstatus.Server{"controller-manager": inProcess{}, "scheduler": inProcess{}, "etcd-0": inProcess{}}
}

type inProcess struct{}

func (inProcess) DoServerCheck() (probe.Result, string, error) { return probe.Success, "ok", nil }

// addWorkloads adds nodes, pods, services and service accounts, which know each other.
func (c coreGroup) addWorkloads(to map[string]rest.Storage) error {
	opts, transport := c.generic.RESTOptionsGetter, c.reach.transport()
	nodes, err := nodestore.NewStorage(opts, kubeletclient.KubeletClientConfig{}, transport)
	if err != nil {
		return err
	}
	nodes.Proxy.Connection = nodeProxy{c.reach, nodes.Node}
	to["nodes"], to["nodes/status"], to["nodes/proxy"] = nodes.Node, nodes.Status, nodes.Proxy

	pods, err := podstore.NewStorage(opts, c.reach, transport, c.client.PolicyV1(), c.generic.Authorization.Authorizer)
	if err != nil {
		return err
	}
	to["pods"], to["pods/status"] = pods.Pod, pods.Status
	to["pods/log"], to["pods/exec"], to["pods/attach"], to["pods/portforward"] = pods.Log, pods.Exec, pods.Attach, pods.PortForward
	to["pods/proxy"] = pods.Proxy
	to["pods/binding"], to["bindings"] = pods.Binding, pods.LegacyBinding
	to["pods/eviction"] = pods.Eviction
	to["pods/ephemeralcontainers"], to["pods/resize"] = pods.EphemeralContainers, pods.Resize

	endpoints, err := endpointsstore.NewREST(opts)
	if err != nil {
		return err
	}
	to["endpoints"] = endpoints
	family := c.alloc.ips.IPFamily()
	services, servicesStatus, servicesProxy, err := servicestore.NewREST(opts, family,
		map[api.IPFamily]ipallocator.Interface{family: c.alloc.ips}, c.alloc.ports, endpoints, pods.Pod, transport)
	if err != nil {
		return err
	}
	to["services"], to["services/status"], to["services/proxy"] = services, servicesStatus, servicesProxy

	accounts, err := serviceaccountstore.NewREST(opts, c.tokens, c.generic.Authentication.APIAudiences, 0,
		pods.Pod.Store, to["secrets"].(rest.Getter), nodes.Node.Store, true, tokenExtension)
	if err != nil {
		return err
	}
	to["serviceaccounts"], to["serviceaccounts/token"] = accounts, accounts.Token
	return nil
}
