package apiserver

import (
	"fmt"
	"strings"

	appsv1beta1 "k8s.io/api/apps/v1beta1"
	appsv1beta2 "k8s.io/api/apps/v1beta2"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/extensions"
)

// oldVersion serves resources of a current version once more under an old one. Kubernetes still carries the
// types, defaults and conversions of these versions although it stopped serving them: the storage is the
// same, and the installer adds the Warning header that their deprecation asks for.
type oldVersion struct {
	old       schema.GroupVersion
	current   schema.GroupVersion
	resources []string
}

// oldVersions are those that tutorials and charts still use.
func oldVersions() []oldVersion {
	return []oldVersion{
		{appsv1beta1.SchemeGroupVersion, schema.GroupVersion{Group: "apps", Version: "v1"}, []string{"deployments", "statefulsets", "controllerrevisions"}},
		{appsv1beta2.SchemeGroupVersion, schema.GroupVersion{Group: "apps", Version: "v1"}, []string{"deployments", "statefulsets", "daemonsets", "replicasets", "controllerrevisions"}},
		{extensionsv1beta1.SchemeGroupVersion, schema.GroupVersion{Group: "apps", Version: "v1"}, []string{"deployments", "daemonsets", "replicasets"}},
		{extensionsv1beta1.SchemeGroupVersion, schema.GroupVersion{Group: "networking.k8s.io", Version: "v1"}, []string{"ingresses", "networkpolicies"}},
		{batchv1beta1.SchemeGroupVersion, schema.GroupVersion{Group: "batch", Version: "v1"}, []string{"cronjobs"}},
		{networkingv1beta1.SchemeGroupVersion, schema.GroupVersion{Group: "networking.k8s.io", Version: "v1"}, []string{"ingresses", "ingressclasses"}},
		{policyv1beta1.SchemeGroupVersion, schema.GroupVersion{Group: "policy", Version: "v1"}, []string{"poddisruptionbudgets"}},
	}
}

// addOldVersions adds the old versions to groups, and the group extensions, which has no current version.
func addOldVersions(groups []*genericapiserver.APIGroupInfo) ([]*genericapiserver.APIGroupInfo, error) {
	byName := map[string]*genericapiserver.APIGroupInfo{}
	for _, g := range groups {
		byName[g.PrioritizedVersions[0].Group] = g
	}
	gone := genericapiserver.NewDefaultAPIGroupInfo(extensions.GroupName, legacyscheme.Scheme, legacyscheme.ParameterCodec, legacyscheme.Codecs)
	byName[extensions.GroupName] = &gone
	for _, v := range oldVersions() {
		from := byName[v.current.Group].VersionedResourcesStorageMap[v.current.Version]
		versions := byName[v.old.Group].VersionedResourcesStorageMap
		if versions[v.old.Version] == nil {
			versions[v.old.Version] = map[string]rest.Storage{}
		}
		to := versions[v.old.Version]
		for _, resource := range v.resources {
			if from[resource] == nil {
				return nil, fmt.Errorf("serve %s as %s: there is no such resource", v.current.WithResource(resource), v.old)
			}
			for name, store := range from {
				if name == resource || strings.HasPrefix(name, resource+"/") {
					to[name] = store
				}
			}
			if v.old.Group != v.current.Group {
				inOtherGroup(to, resource)
			}
		}
	}
	return append(groups, &gone), nil
}
