package apiserver

import (
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
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
	"k8s.io/kubernetes/pkg/apis/extensions"
)

// installer puts groups on the routes of a server. GenericAPIServer.InstallAPIGroups would do, but for
// building the OpenAPI model of every kind first: 200 ms and 80 MB that never come back.
type installer struct {
	server     *genericapiserver.GenericAPIServer
	config     *genericapiserver.Config
	serializer runtime.NegotiatedSerializer
	converter  managedfields.TypeConverter
}

// installAll makes the routes of all groups at the same time, because compiling a regular expression for
// each of the two thousand is most of what there is to do, and then lists the groups in their order.
func (i installer) installAll(groups []*genericapiserver.APIGroupInfo) error {
	var g errgroup.Group
	for _, info := range groups {
		g.Go(func() error {
			if err := i.routes(info); err != nil {
				return fmt.Errorf("install API group %q: %w", info.PrioritizedVersions[0].Group, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, info := range groups {
		i.list(info)
	}
	return nil
}

// served are the versions of info that have resources, the preferred one first.
func served(info *genericapiserver.APIGroupInfo) (versions []schema.GroupVersion) {
	for _, gv := range info.PrioritizedVersions {
		if len(info.VersionedResourcesStorageMap[gv.Version]) > 0 {
			versions = append(versions, gv)
		}
	}
	return versions
}

// routes adds the routes of one group, and its resources to discovery.
func (i installer) routes(info *genericapiserver.APIGroupInfo) error {
	for _, gv := range served(info) {
		root, manager := genericapiserver.APIGroupPrefix, i.server.AggregatedDiscoveryGroupManager
		if gv.Group == "" {
			root, manager = genericapiserver.DefaultLegacyAPIPrefix, i.server.AggregatedLegacyDiscoveryGroupManager
		}
		resources, _, err := i.version(info, gv, root).InstallREST(i.server.Handler.GoRestfulContainer)
		if err != nil {
			return fmt.Errorf("install version %s: %w", gv.Version, err)
		}
		if gv.Group == extensions.GroupName {
			hideFromControllers(resources)
		}
		manager.AddGroupVersion(gv.Group, apidiscoveryv2.APIVersionDiscovery{
			Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
			Version:   gv.Version,
			Resources: resources,
		})
	}
	return nil
}

// list adds one group to the documents that list groups.
func (i installer) list(info *genericapiserver.APIGroupInfo) {
	container, manager := i.server.Handler.GoRestfulContainer, i.server.AggregatedLegacyDiscoveryGroupManager
	var versions []metav1.GroupVersionForDiscovery
	for _, gv := range served(info) {
		versions = append(versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version})
	}
	group := info.PrioritizedVersions[0].Group
	if group == "" {
		addresses := discovery.DefaultAddresses{DefaultAddress: i.server.ExternalAddress}
		root := discovery.NewLegacyRootAPIHandler(addresses, i.server.Serializer, genericapiserver.DefaultLegacyAPIPrefix)
		container.Add(aggregated.WrapAggregatedDiscoveryToHandler(root, manager, manager).GenerateWebService("/api", metav1.APIVersions{}))
		return
	}
	apiGroup := metav1.APIGroup{Name: group, Versions: versions, PreferredVersion: versions[0]}
	i.server.DiscoveryGroupManager.AddGroup(apiGroup)
	container.Add(discovery.NewAPIGroupHandler(i.server.Serializer, apiGroup).WebService())
}

func (i installer) version(info *genericapiserver.APIGroupInfo, gv schema.GroupVersion, root string) *genericapi.APIGroupVersion {
	versions := map[string][]string{}
	for version, stores := range info.VersionedResourcesStorageMap {
		for resource := range stores {
			versions[resource] = append(versions[resource], schema.GroupVersion{Group: gv.Group, Version: version}.String())
		}
	}
	return &genericapi.APIGroupVersion{
		Root:                        root,
		GroupVersion:                gv,
		AllServedVersionsByResource: versions,
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
