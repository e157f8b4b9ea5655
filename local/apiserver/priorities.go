package apiserver

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	controlplane "k8s.io/kubernetes/pkg/controlplane/apiserver"
)

// apiServicePriorities decide which group and version clients prefer when several serve a resource, and
// with it the order of discovery. A version without a priority gets no APIService and is not discovered.
// The values of current versions are kube-apiserver's (cmd/kube-apiserver/app/aggregator.go); old versions
// come last in their group, and the group extensions after all others. The groups in more get what
// extension API servers usually ask for.
func apiServicePriorities(more []schema.GroupVersion) map[schema.GroupVersion]controlplane.APIServicePriority {
	priorities := controlplane.DefaultGenericAPIServicePriorities()
	for gv, p := range map[schema.GroupVersion]controlplane.APIServicePriority{
		{Group: "apps", Version: "v1"}:                   {Group: 17800, Version: 15},
		{Group: "apps", Version: "v1beta2"}:              {Group: 17800, Version: 9},
		{Group: "apps", Version: "v1beta1"}:              {Group: 17800, Version: 1},
		{Group: "autoscaling", Version: "v1"}:            {Group: 17500, Version: 15},
		{Group: "autoscaling", Version: "v2"}:            {Group: 17500, Version: 30},
		{Group: "batch", Version: "v1"}:                  {Group: 17400, Version: 15},
		{Group: "batch", Version: "v1beta1"}:             {Group: 17400, Version: 9},
		{Group: "networking.k8s.io", Version: "v1"}:      {Group: 17200, Version: 15},
		{Group: "networking.k8s.io", Version: "v1beta1"}: {Group: 17200, Version: 9},
		{Group: "policy", Version: "v1"}:                 {Group: 17100, Version: 15},
		{Group: "policy", Version: "v1beta1"}:            {Group: 17100, Version: 9},
		{Group: "storage.k8s.io", Version: "v1"}:         {Group: 16800, Version: 15},
		{Group: "scheduling.k8s.io", Version: "v1"}:      {Group: 16600, Version: 15},
		{Group: "node.k8s.io", Version: "v1"}:            {Group: 16300, Version: 15},
		{Group: "resource.k8s.io", Version: "v1"}:        {Group: 16200, Version: 21},
		{Group: "extensions", Version: "v1beta1"}:        {Group: 15000, Version: 1},
	} {
		priorities[gv] = p
	}
	for _, gv := range more {
		priorities[gv] = controlplane.APIServicePriority{Group: 100, Version: 100}
	}
	return priorities
}
