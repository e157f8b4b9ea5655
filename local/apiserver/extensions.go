package apiserver

import (
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/notfoundhandler"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/kube-openapi/pkg/common"
)

// newExtensions makes the server of CustomResourceDefinitions and of the kinds they define. It is the end of the chain.
func newExtensions(shared genericapiserver.Config, backend backend, reach *reach) (*apiextensions.CustomResourceDefinitions, error) {
	shared.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	shared.RESTOptionsGetter = codecOptions{apiextensions.Codecs.LegacyCodec(apiextensionsv1.SchemeGroupVersion), backend}
	shared.MergedResourceConfig = apiextensions.DefaultAPIResourceConfigSource()
	shared.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, openapi.NewDefinitionNamer(apiextensions.Scheme))
	config := &apiextensions.Config{
		GenericConfig: &genericapiserver.RecommendedConfig{Config: shared},
		ExtraConfig: apiextensions.ExtraConfig{
			CRDRESTOptionsGetter: codecOptions{unstructured.UnstructuredJSONScheme, backend},
			MasterCount:          1,
			ServiceResolver:      reach.resolver(),
			AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(reach.transport(), nil, shared.LoopbackClientConfig, shared.TracerProvider),
		},
	}
	// What nobody serves is not there, but only once all that is stored is served.
	missing := notfoundhandler.New(shared.Serializer, filters.NoMuxAndDiscoveryIncompleteKey)
	s, err := config.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(missing))
	if err != nil {
		return nil, fmt.Errorf("make server of custom resources: %w", err)
	}
	forgetDefinitions(shared.OpenAPIV3Config)
	return s, nil
}

// forgetDefinitions frees what a server needs once, to learn the fields of its own kinds: 2 MB. The documents
// that it could serve from them are built ahead (package openapi).
func forgetDefinitions(config *common.OpenAPIV3Config) { config.Definitions = nil }
