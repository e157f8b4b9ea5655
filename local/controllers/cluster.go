package controllers

import (
	"context"
	"fmt"
	"time"

	pluginvalidating "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/klog/v2"
	pkgcontroller "k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/resourceclaim"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/tainteviction"
	"k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"

	"skiff.local/skiff/local/controllers/namespaces"
	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/local/controllers/podgc"
)

const (
	// Deleting a namespace walks all its resources one by one; several at a time help when a test suite tears down.
	namespaceWorkers = 5
	// Upstream: 20, for servers that are a network away.
	garbageWorkers = 5
	quotaWorkers   = 2
)

func newNamespaces(_ context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := namespaces.New(namespaces.Config{
		Client: env.client, Metadata: env.metadata, Namespaces: core.Namespaces(), Pods: core.Pods(), Discover: env.discovery.namespaced,
	})
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, namespaceWorkers), nil
}

func newGarbageCollector(ctx context.Context, env *environment) (runFunc, error) {
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, env.metadata, env.mapper, garbagecollector.DefaultIgnoredResources(), env.anyInf, env.infStarted)
	c, err := garbagecollector.NewComposedGarbageCollector(ctx, env.client, env.metadata, env.mapper, graph)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go env.discovery.whileUnchanged(ctx, func(ctx context.Context) { c.Sync(ctx, env.discovery, discoverySyncPeriod) })
		c.Run(ctx, garbageWorkers, initialSyncTimeout)
	}, nil
}

func newQuotas(ctx context.Context, env *environment) (runFunc, error) {
	quota, err := quotainstall.NewQuotaConfigurationForControllers(generic.ListerFuncForResourceFunc(env.Informers.ForResource), env.Informers)
	if err != nil {
		return nil, err
	}
	quotas, err := recountQuotas(env.Informers.Core().V1().ResourceQuotas())
	if err != nil {
		return nil, err
	}
	c, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               env.client.CoreV1(),
		ResourceQuotaInformer:     quotas,
		ResyncPeriod:              pkgcontroller.StaticResyncPeriodFunc(quotaResync),
		InformerFactory:           env.anyInf,
		ReplenishmentResyncPeriod: func() time.Duration { return replenishmentResync },
		DiscoveryFunc:             env.discovery.namespaced,
		IgnoredResourcesFunc:      quota.IgnoredResources,
		InformersStarted:          env.infStarted,
		Registry:                  generic.NewRegistry(quota.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go env.discovery.whileUnchanged(ctx, func(ctx context.Context) { c.Sync(ctx, env.discovery.namespaced, discoverySyncPeriod) })
		c.Run(ctx, quotaWorkers)
	}, nil
}

func newNodeTaints(ctx context.Context, env *environment) (runFunc, error) {
	c, err := nodes.NewTaints(env.client, env.Informers.Core().V1().Nodes())
	if err != nil {
		return nil, err
	}
	return c.Run, nil
}

func newTaintEviction(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	// It finds a node's pods by an index that it leaves to the node lifecycle controller to add, which does not run here. The second
	// attempt is for a DaemonSet controller that adds the same one at the same time.
	if pkgcontroller.AddPodNodeNameIndexer(core.Pods().Informer()) != nil {
		if err := pkgcontroller.AddPodNodeNameIndexer(core.Pods().Informer()); err != nil {
			return nil, fmt.Errorf("index pods by their node: %w", err)
		}
	}
	c, err := tainteviction.New(ctx, env.client, core.Pods(), core.Nodes(), "taint-eviction-controller")
	if err != nil {
		return nil, err
	}
	return c.Run, nil
}

func newPodGC(_ context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := podgc.New(env.client, core.Pods(), core.Nodes())
	if err != nil {
		return nil, err
	}
	return c.Run, nil
}

func newClusterRoleAggregation(_ context.Context, env *environment) (runFunc, error) {
	c := clusterroleaggregation.NewClusterRoleAggregation(env.Informers.Rbac().V1().ClusterRoles(), env.client.RbacV1())
	return withWorkers(c.Run, 1), nil
}

func newAdmissionPolicyStatus(_ context.Context, env *environment) (runFunc, error) {
	// Upstream first asks the OpenAPI definitions that are compiled in; building them costs tens of megabytes, and
	// the server's own documents say the same, CustomResourceDefinitions included.
	checker := &pluginvalidating.TypeChecker{
		SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: env.client.Discovery()},
		RestMapper:     env.mapper,
	}
	c, err := validatingadmissionpolicystatus.NewController(env.Informers.Admissionregistration().V1().ValidatingAdmissionPolicies(),
		env.client.AdmissionregistrationV1().ValidatingAdmissionPolicies(), checker)
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}

func newResourceClaims(ctx context.Context, env *environment) (runFunc, error) {
	resources := env.Informers.Resource().V1()
	c, err := resourceclaim.NewController(klog.FromContext(ctx), resourceclaim.Features{AdminAccess: true, PrioritizedList: true}, env.client,
		env.Informers.Core().V1().Pods(), nil, resources.ResourceClaims(), resources.ResourceClaimTemplates())
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}
