package apiserver

import (
	"fmt"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	genericapi "k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// installer puts groups on the routes of a server. GenericAPIServer.InstallAPIGroups would do, but for
// building the OpenAPI model of every kind first: 200 ms and 80 MB that never come back.
type installer struct {
	server     *genericapiserver.GenericAPIServer
	config     *genericapiserver.Config
	serializer runtime.NegotiatedSerializer
	converter  managedfields.TypeConverter
}

func (i installer) installAll(groups []*genericapiserver.APIGroupInfo) error {
	for _, g := range groups {
		if err := i.install(g); err != nil {
			return fmt.Errorf("install API group %q: %w", g.PrioritizedVersions[0].Group, err)
		}
	}
	return nil
}

func (i installer) install(info *genericapiserver.APIGroupInfo) error {
	group := info.PrioritizedVersions[0].Group
	root, manager := genericapiserver.APIGroupPrefix, i.server.AggregatedDiscoveryGroupManager
	if group == "" {
		root, manager = genericapiserver.DefaultLegacyAPIPrefix, i.server.AggregatedLegacyDiscoveryGroupManager
	}
	var versions []metav1.GroupVersionForDiscovery
	for _, gv := range info.PrioritizedVersions {
		if len(info.VersionedResourcesStorageMap[gv.Version]) == 0 {
			continue
		}
		resources, _, err := i.version(info, gv, root).InstallREST(i.server.Handler.GoRestfulContainer)
		if err != nil {
			return fmt.Errorf("install version %s: %w", gv.Version, err)
		}
		manager.AddGroupVersion(group, apidiscoveryv2.APIVersionDiscovery{
			Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
			Version:   gv.Version,
			Resources: resources,
		})
		versions = append(versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version})
	}
	if group == "" {
		addresses := discovery.DefaultAddresses{DefaultAddress: i.server.ExternalAddress}
		root := discovery.NewLegacyRootAPIHandler(addresses, i.server.Serializer, root)
		i.server.Handler.GoRestfulContainer.Add(aggregated.WrapAggregatedDiscoveryToHandler(root, manager, manager).GenerateWebService("/api", metav1.APIVersions{}))
		return nil
	}
	apiGroup := metav1.APIGroup{Name: group, Versions: versions, PreferredVersion: versions[0]}
	i.server.DiscoveryGroupManager.AddGroup(apiGroup)
	i.server.Handler.GoRestfulContainer.Add(discovery.NewAPIGroupHandler(i.server.Serializer, apiGroup).WebService())
	return nil
}

func (i installer) version(info *genericapiserver.APIGroupInfo, gv schema.GroupVersion, root string) *genericapi.APIGroupVersion {
	served := map[string][]string{}
	for version, stores := range info.VersionedResourcesStorageMap {
		for resource := range stores {
			served[resource] = append(served[resource], schema.GroupVersion{Group: gv.Group, Version: version}.String())
		}
	}
	return &genericapi.APIGroupVersion{
		Root:                        root,
		GroupVersion:                gv,
		AllServedVersionsByResource: served,
		Storage:                     info.VersionedResourcesStorageMap[gv.Version],
		OptionsExternalVersion:      info.OptionsExternalVersion,
		MetaGroupVersion:            info.MetaGroupVersion,
		ParameterCodec:              info.ParameterCodec,
		Serializer:                  i.serializer,
		Creater:                     info.Scheme,
		Convertor:                   info.Scheme,
		ConvertabilityChecker:       info.Scheme,
		UnsafeConvertor:             runtime.UnsafeObjectConvertor(info.Scheme),
		Defaulter:                   info.Scheme,
		Typer:                       info.Scheme,
		Namer:                       runtime.Namer(meta.NewAccessor()),
		EquivalentResourceRegistry:  i.server.EquivalentResourceRegistry,
		Authorizer:                  i.server.Authorizer,
		Admit:                       i.config.AdmissionControl,
		MinRequestTimeout:           time.Duration(i.config.MinRequestTimeout) * time.Second,
		TypeConverter:               i.converter,
		MaxRequestBodyBytes:         i.config.MaxRequestBodyBytes,
	}
}
