package apiserver

import (
	"fmt"
	"net/http"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	generatedopenapi "k8s.io/kube-aggregator/pkg/generated/openapi"
	controlplane "k8s.io/kubernetes/pkg/controlplane/apiserver"

	"skiff.local/skiff/local/apiserver/pki"
)

// frontServer makes the front of the chain: it serves APIServices and sends what they claim to extension API
// servers in the cluster, everything else to kube.
type frontServer struct {
	kube       *genericapiserver.GenericAPIServer
	extensions *apiextensions.CustomResourceDefinitions
	more       []schema.GroupVersion
	shared     informers.SharedInformerFactory
	backend    backend
	reach      *reach
	proxy      pki.Pair
}

func (f frontServer) build(generic genericapiserver.Config) (*aggregator.APIAggregator, error) {
	generic.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	generic.RESTOptionsGetter = codecOptions{aggregatorscheme.Codecs.LegacyCodec(apiregistrationv1.SchemeGroupVersion), f.backend}
	generic.MergedResourceConfig = aggregator.DefaultAPIResourceConfigSource()
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return f.reach.answerScrapers(genericapiserver.DefaultBuildHandlerChain(api, c), c)
	}
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, openapi.NewDefinitionNamer(aggregatorscheme.Scheme))
	config := &aggregator.Config{
		GenericConfig: &genericapiserver.RecommendedConfig{Config: generic, SharedInformerFactory: f.shared},
		ExtraConfig: aggregator.ExtraConfig{
			ProxyClientCertFile: f.proxy.CertFile,
			ProxyClientKeyFile:  f.proxy.KeyFile,
			ProxyTransport:      f.reach.transport(),
			ServiceResolver:     f.reach.resolver(),
		},
	}
	crds := f.extensions.Informers.Apiextensions().V1().CustomResourceDefinitions()
	s, err := controlplane.CreateAggregatorServer(config.Complete(), f.kube, crds, true, apiServicePriorities(f.more))
	if err != nil {
		return nil, fmt.Errorf("make aggregator: %w", err)
	}
	forgetDefinitions(generic.OpenAPIV3Config)
	return s, nil
}
