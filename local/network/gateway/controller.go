package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/gateway/plan"
	"skiff.local/skiff/local/network/ingress"
)

// Config says what a Controller works with.
type Config struct {
	REST *rest.Config
	// CRDs informs about CustomResourceDefinitions. It is run by somebody else.
	CRDs      cache.SharedIndexInformer
	Informers informers.SharedInformerFactory
	Services  plan.Services
	Proxy     Proxy
	// Address gives a Gateway an address of its own on this machine: the first of those asked for that can be had, or the
	// one it has already; zero for none. Release takes it back.
	Address func(namespace, name string, asked, have []string) netip.Addr
	Release func(namespace, name string)
	// Opened, when not nil, is called once the ports are open for the Gateways that there were when Run began, as far as they
	// can be had: at once where there are no definitions of any.
	Opened func()
	Logger *slog.Logger
}

// A Proxy serves listeners.
type Proxy interface {
	// Serve calls opened, from another goroutine, when the ports for the list are open.
	Serve(list []ingress.Listener, opened func())
	Served(l ingress.Listener) ingress.Serving
	Certificate(ctx context.Context, namespace, name string) (*tls.Certificate, error)
}

// A Controller keeps the proxy in step with the objects of the Gateway API.
type Controller struct {
	cfg        Config
	api        *api
	wake       chan struct{}
	namespaces corelisters.NamespaceLister // nil until there are Gateways to serve
	classMade  bool
	addressed  map[types.NamespacedName]bool
	answers    atomic.Pointer[[]plan.Answer]
	bundles    *bundles
	opened     func() // calls Config.Opened, the first time
}

// New returns a controller; Run makes it work.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, wake: make(chan struct{}, 1), addressed: map[types.NamespacedName]bool{}, opened: func() {}}
	if cfg.Opened != nil {
		c.opened = sync.OnceFunc(cfg.Opened)
	}
	c.api = newAPI(cfg.REST, c.Poke)
	c.bundles = &bundles{informers: cfg.Informers, changed: c.Poke, read: map[types.NamespacedName]bool{}}
	return c
}

// Poke makes the controller look again. It does not block.
func (c *Controller) Poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	changed := func(obj any) {
		if d, ok := obj.(*apiextensionsv1.CustomResourceDefinition); ok && d.Spec.Group == gatewayv1.GroupName {
			c.Poke()
		}
	}
	registration, err := c.cfg.CRDs.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, obj any) { changed(obj) },
		DeleteFunc: func(obj any) {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			changed(obj)
		},
	})
	if err != nil {
		return fmt.Errorf("watch CustomResourceDefinitions: %w", err)
	}
	defer func() { _ = c.cfg.CRDs.RemoveEventHandler(registration) }()
	if !cache.WaitFor(ctx, "", registration.HasSyncedChecker()) {
		return ctx.Err()
	}
	c.Poke()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond): // gathers what comes together
		}
		if err := c.sync(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("Gateways are not up to date", "err", err)
			time.AfterFunc(again, c.Poke)
		}
	}
}

// sync brings everything up to date with what the cluster has now.
func (c *Controller) sync(ctx context.Context) error {
	var definitions []*apiextensionsv1.CustomResourceDefinition
	for _, o := range c.cfg.CRDs.GetStore().List() {
		if d := o.(*apiextensionsv1.CustomResourceDefinition); d.Spec.Group == gatewayv1.GroupName {
			definitions = append(definitions, d)
		}
	}
	if err := c.api.follow(ctx, definitions); err != nil {
		return err
	}
	if !c.api.complete() {
		c.classMade = false
		if c.namespaces != nil {
			c.cfg.Proxy.Serve(nil, func() {})
			before := c.addressed
			c.addressed = map[types.NamespacedName]bool{}
			c.release(before)
			c.answers.Store(nil)
		}
		c.opened()
		return nil
	}
	if !c.api.synced() {
		return nil
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	before := c.addressed
	c.addressed = map[types.NamespacedName]bool{}
	p := plan.Make(c.objects(), plan.Surroundings{
		Services: c.cfg.Services, Labels: c.labels, Address: c.address, Sets: c.api.watches[sets] != nil,
		Authorities: func(namespace, name string) (string, error) { return c.bundles.get(ctx, namespace, name) },
		Certificate: func(namespace, name string) (*tls.Certificate, error) {
			return c.cfg.Proxy.Certificate(ctx, namespace, name)
		},
	})
	c.release(before)
	c.cfg.Proxy.Serve(p.Listeners(), c.opened)
	c.publish(ctx, p)
	return nil
}

// Answers lists what is served now, in the order of Gateways, listeners and routes.
func (c *Controller) Answers() []plan.Answer {
	if all := c.answers.Load(); all != nil {
		return *all
	}
	return nil
}

// prepare makes the GatewayClass, once for as long as there are the definitions: who deletes it means it.
func (c *Controller) prepare(ctx context.Context) error {
	if c.namespaces == nil {
		namespaces := c.cfg.Informers.Core().V1().Namespaces()
		if _, err := namespaces.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { c.Poke() }, UpdateFunc: func(any, any) { c.Poke() },
		}); err != nil {
			return fmt.Errorf("watch namespaces: %w", err)
		}
		c.cfg.Informers.Start(ctx.Done())
		c.namespaces = namespaces.Lister()
	}
	if c.classMade {
		return nil
	}
	class := &gatewayv1.GatewayClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: gatewayv1.GroupVersion.String(), Kind: "GatewayClass"},
		ObjectMeta: metav1.ObjectMeta{Name: plan.ClassName}, Spec: gatewayv1.GatewayClassSpec{ControllerName: plan.ControllerName},
	}
	err := c.api.watches[classes].client.Post().Resource(classes).Body(class).Do(ctx).Error()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the GatewayClass %s: %w", plan.ClassName, err)
	}
	c.classMade = true
	return nil
}

func (c *Controller) objects() plan.Objects {
	return plan.Objects{
		Classes: list[*gatewayv1.GatewayClass](c.api, classes), Gateways: list[*gatewayv1.Gateway](c.api, gateways),
		HTTPRoutes: list[*gatewayv1.HTTPRoute](c.api, httpRoutes), GRPCRoutes: list[*gatewayv1.GRPCRoute](c.api, grpcRoutes),
		TLSRoutes: list[*gatewayv1.TLSRoute](c.api, tlsRoutes), Sets: list[*gatewayv1.ListenerSet](c.api, sets),
		Policies: list[*gatewayv1.BackendTLSPolicy](c.api, policies), Grants: list[*gatewayv1.ReferenceGrant](c.api, grants),
	}
}

func (c *Controller) labels(namespace string) map[string]string {
	ns, err := c.namespaces.Get(namespace)
	if err != nil {
		return nil
	}
	return ns.Labels
}

// address gives a Gateway its own address: one that it asks for, or the one that its status has.
func (c *Controller) address(gw *gatewayv1.Gateway) netip.Addr {
	var asked, have []string
	for _, a := range gw.Spec.Addresses {
		asked = append(asked, a.Value)
	}
	for _, a := range gw.Status.Addresses {
		have = append(have, a.Value)
	}
	c.addressed[types.NamespacedName{Namespace: gw.Namespace, Name: gw.Name}] = true
	return c.cfg.Address(gw.Namespace, gw.Name, asked, have)
}

// release takes the addresses back that Gateways had before and have no more.
func (c *Controller) release(before map[types.NamespacedName]bool) {
	for name := range before {
		if !c.addressed[name] {
			c.cfg.Release(name.Namespace, name.Name)
		}
	}
}
