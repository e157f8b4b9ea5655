package apiserver

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	admissionmetrics "k8s.io/apiserver/pkg/admission/metrics"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cacheddiscovery "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	controlplaneadmission "k8s.io/kubernetes/pkg/controlplane/apiserver/admission"
	kubeadmission "k8s.io/kubernetes/pkg/kubeapiserver/admission"
)

// admissionChain makes the plugins.
type admissionChain struct {
	generic *genericapiserver.Config
	client  kubernetes.Interface
	shared  informers.SharedInformerFactory
	reach   *reach
	log     *slog.Logger
}

// start waits for the informers, makes the plugins and opens gate.
func (c admissionChain) start(ctx context.Context, gate *admissionGate) error {
	sync := func() error {
		c.shared.StartWithContext(ctx)
		if err := c.shared.WaitForCacheSyncWithContext(ctx).AsError(); err != nil {
			return fmt.Errorf("read what admission depends on: %w", err)
		}
		return nil
	}
	if err := sync(); err != nil {
		return err
	}
	initializers, err := c.initializers(ctx)
	if err != nil {
		return fmt.Errorf("prepare admission plugins: %w", err)
	}
	first, err := makePlugins(admissionPlugins(), initializers)
	if err != nil {
		return err
	}
	last, err := makePlugins(quotaPlugin(), initializers)
	if err != nil {
		return err
	}
	extensions := &lazyAdmission{log: c.log, make: func() (admission.Interface, error) {
		chain, err := makePlugins(extensionPlugins(), initializers)
		if err != nil {
			return nil, err
		}
		return chain, sync()
	}}
	if err := extensions.follow(extensionInformers(c.shared)); err != nil {
		return err
	}
	if err := sync(); err != nil {
		return err
	}
	gate.chain = admissionmetrics.WithStepMetrics(admission.NewChainHandler(first, extensions, last))
	close(gate.open)
	return nil
}

// makePlugins makes a chain of plugins.
func makePlugins(list []admissionPlugin, initializers admission.PluginInitializers) (admission.Interface, error) {
	plugins := admission.NewPlugins()
	var names []string
	for _, p := range list {
		p.register(plugins)
		names = append(names, p.name)
	}
	configs, err := admission.ReadAdmissionConfiguration(names, "", nil)
	if err != nil {
		return nil, fmt.Errorf("make admission plugins: %w", err)
	}
	decorators := admission.Decorators{admission.DecoratorFunc(admissionmetrics.WithControllerMetrics)}
	chain, err := plugins.NewFromPlugins(names, configs, initializers, decorators)
	if err != nil {
		return nil, fmt.Errorf("make admission plugins: %w", err)
	}
	return chain, nil
}

// initializers give the plugins what they want. Webhooks are called through reach.
func (c admissionChain) initializers(ctx context.Context) (admission.PluginInitializers, error) {
	dyn, err := dynamic.NewForConfig(c.generic.LoopbackClientConfig)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cacheddiscovery.NewMemCacheClient(c.client.Discovery()))
	go wait.UntilWithContext(ctx, func(context.Context) { mapper.Reset() }, mapperReset)
	controlPlane, err := (&controlplaneadmission.Config{
		LoopbackClientConfig: c.generic.LoopbackClientConfig,
		ExternalInformers:    c.shared,
		APIResourceConfig:    c.generic.MergedResourceConfig,
	}).New(c.reach.transport(), nil, c.reach.resolver(), c.generic.TracerProvider)
	if err != nil {
		return nil, err
	}
	kube, err := (&kubeadmission.Config{}).New()
	if err != nil {
		return nil, err
	}
	all := admission.PluginInitializers{
		initializer.NewAPIServerIDInitializer(c.generic.APIServerID),
		initializer.New(c.client, dyn, c.shared, c.generic.Authorization.Authorizer, utilfeature.DefaultFeatureGate, c.generic.EffectiveVersion, c.generic.DrainedNotify(), mapper),
	}
	return append(append(all, kube...), controlPlane...), nil
}

// mapperReset is how soon policies notice new kinds; kube-apiserver's value.
const mapperReset = 30 * time.Second
