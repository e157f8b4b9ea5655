package apiserver

import (
	"context"
	"fmt"
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

// admissionGate holds writes back until the plugins are there. They are made once their informers have
// synced: made earlier, as kube-apiserver does, they look whether that has happened every 100 ms, and the
// policies and a first write wait for it one after the other.
type admissionGate struct {
	open  chan struct{}
	chain admission.Interface // valid once open is closed
}

var (
	_ admission.MutationInterface   = &admissionGate{}
	_ admission.ValidationInterface = &admissionGate{}
)

func newAdmissionGate() *admissionGate { return &admissionGate{open: make(chan struct{})} }

// Handles is true because some plugin handles every operation.
func (g *admissionGate) Handles(admission.Operation) bool { return true }

func (g *admissionGate) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	if chain, ok := g.chain.(admission.MutationInterface); ok && chain.Handles(a.GetOperation()) {
		return chain.Admit(ctx, a, o)
	}
	return nil
}

func (g *admissionGate) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	if chain, ok := g.chain.(admission.ValidationInterface); ok && chain.Handles(a.GetOperation()) {
		return chain.Validate(ctx, a, o)
	}
	return nil
}

func (g *admissionGate) wait(ctx context.Context) error {
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admissionChain makes the plugins.
type admissionChain struct {
	generic *genericapiserver.Config
	client  kubernetes.Interface
	shared  informers.SharedInformerFactory
	reach   *reach
}

// start waits for the informers, makes the plugins and opens gate.
func (c admissionChain) start(ctx context.Context, gate *admissionGate) error {
	c.shared.StartWithContext(ctx)
	if err := c.shared.WaitForCacheSyncWithContext(ctx).AsError(); err != nil {
		return fmt.Errorf("read what admission depends on: %w", err)
	}
	chain, err := c.build(ctx)
	if err != nil {
		return fmt.Errorf("make admission plugins: %w", err)
	}
	c.shared.StartWithContext(ctx)
	if err := c.shared.WaitForCacheSyncWithContext(ctx).AsError(); err != nil {
		return fmt.Errorf("read what admission depends on: %w", err)
	}
	gate.chain = chain
	close(gate.open)
	return nil
}

func (c admissionChain) build(ctx context.Context) (admission.Interface, error) {
	plugins := admission.NewPlugins()
	var names []string
	for _, p := range admissionPlugins() {
		p.register(plugins)
		names = append(names, p.name)
	}
	initializers, err := c.initializers(ctx)
	if err != nil {
		return nil, err
	}
	configs, err := admission.ReadAdmissionConfiguration(names, "", nil)
	if err != nil {
		return nil, err
	}
	decorators := admission.Decorators{admission.DecoratorFunc(admissionmetrics.WithControllerMetrics)}
	chain, err := plugins.NewFromPlugins(names, configs, initializers, decorators)
	if err != nil {
		return nil, err
	}
	return admissionmetrics.WithStepMetrics(chain), nil
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
