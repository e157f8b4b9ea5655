package apiserver

import (
	"fmt"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
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

// newAggregator makes the front of the chain: it serves APIServices and sends what they claim to extension
// API servers in the cluster, everything else to kube.
func newAggregator(shared genericapiserver.Config, kube *genericapiserver.GenericAPIServer, crds *apiextensions.CustomResourceDefinitions,
	factory informers.SharedInformerFactory, backend backend, reach *reach, proxy pki.Pair,
) (*aggregator.APIAggregator, error) {
	shared.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	shared.RESTOptionsGetter = codecOptions{aggregatorscheme.Codecs.LegacyCodec(apiregistrationv1.SchemeGroupVersion), backend}
	shared.MergedResourceConfig = aggregator.DefaultAPIResourceConfigSource()
	shared.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, openapi.NewDefinitionNamer(aggregatorscheme.Scheme))
	config := &aggregator.Config{
		GenericConfig: &genericapiserver.RecommendedConfig{Config: shared, SharedInformerFactory: factory},
		ExtraConfig: aggregator.ExtraConfig{
			ProxyClientCertFile: proxy.CertFile,
			ProxyClientKeyFile:  proxy.KeyFile,
			ProxyTransport:      reach.transport(),
			ServiceResolver:     reach.resolver(),
		},
	}
	s, err := controlplane.CreateAggregatorServer(config.Complete(), kube,
		crds.Informers.Apiextensions().V1().CustomResourceDefinitions(), true, apiServicePriorities())
	if err != nil {
		return nil, fmt.Errorf("make aggregator: %w", err)
	}
	return s, nil
}
