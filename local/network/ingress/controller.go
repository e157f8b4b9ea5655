package ingress

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"

	"skiff.local/skiff/local/authority"
	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/httpproxy/upstream"
	"skiff.local/skiff/local/network/relayproto"
)

// Config says what a Controller works with.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Recorder  record.EventRecorder
	Services  Services
	// Backends are a Service port's endpoints, the ones to use now.
	Backends func(key relayproto.Key, port uint16) []netip.AddrPort
	// Pod is the name of the pod behind an endpoint, "" when there is none; nil when nobody knows.
	Pod  func(service relayproto.Key, addr netip.Addr) string
	Dial upstream.Dial
	// Bind are the addresses to listen on; Ports the ports, httpproxy.DefaultPorts when zero.
	Bind  []netip.Addr
	Ports httpproxy.Ports
	// Authority signs for hosts without a Secret.
	Authority *authority.Authority
	AccessLog io.Writer // nil for none
	// Changed, when not nil, is called when a Listener is served otherwise than before, or a Secret has changed. It must
	// not block.
	Changed func()
	// Opened, when not nil, is called once the ports are open for what there was when Run began, as far as they can be had.
	Opened func()
	Logger *slog.Logger
}

// A Controller keeps the routing table in step with the cluster and serves it.
type Controller struct {
	cfg     Config
	server  *httpproxy.Server
	wake    chan struct{}
	classes networkinglisters.IngressClassLister
	list    networkinglisters.IngressLister
	synced  []cache.DoneChecker
	opened  func() // calls Config.Opened, the first time

	mu        sync.Mutex
	secrets   corelisters.SecretLister      // guarded by mu; nil until a Secret is needed
	told      map[types.UID]map[string]bool // findings that an event told about; guarded by mu
	listeners []Listener                    // guarded by mu
	waiting   []func()                      // to be called when the ports of listeners are open; guarded by mu
}

// New returns a controller; Run makes it work.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, wake: make(chan struct{}, 1), opened: func() {}, told: map[types.UID]map[string]bool{}}
	if cfg.Opened != nil {
		c.opened = sync.OnceFunc(cfg.Opened)
	}
	c.server = httpproxy.NewServer(httpproxy.Config{
		Backends: cfg.Backends, Dial: cfg.Dial, Pod: cfg.Pod, Bind: cfg.Bind, Ports: cfg.Ports, AccessLog: cfg.AccessLog, Logger: cfg.Logger,
		Changed: func() { c.poke(); c.served() }, // what is served where is in the status of objects
	})
	return c
}

// Forget tells which endpoints a Service still has, so that connections to others are not used again. When it returns, no
// new request goes to those.
func (c *Controller) Forget(service relayproto.Key, still []netip.AddrPort) {
	c.server.Forget(service, still)
}

// ServicesChanged makes the controller look again at what Services there are.
func (c *Controller) ServicesChanged() { c.poke() }

func (c *Controller) served() {
	if c.cfg.Changed != nil {
		c.cfg.Changed()
	}
}

func (c *Controller) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Watch makes the controller hear of what there is, once the informers run. Call it before Run.
func (c *Controller) Watch() error {
	classes := c.cfg.Informers.Networking().V1().IngressClasses()
	ingresses := c.cfg.Informers.Networking().V1().Ingresses()
	c.classes, c.list = classes.Lister(), ingresses.Lister()
	anyChange := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.poke() },
		UpdateFunc: func(any, any) { c.poke() },
		DeleteFunc: func(any) { c.poke() },
	}
	for _, informer := range []cache.SharedIndexInformer{classes.Informer(), ingresses.Informer()} {
		registration, err := informer.AddEventHandler(anyChange)
		if err != nil {
			return fmt.Errorf("watch Ingresses: %w", err)
		}
		c.synced = append(c.synced, registration.HasSyncedChecker())
	}
	return nil
}

// Run serves until ctx ends. The IngressClass is made when it is missing.
func (c *Controller) Run(ctx context.Context) error {
	if !cache.WaitFor(ctx, "", c.synced...) {
		return ctx.Err()
	}
	if err := c.ensureClass(ctx); err != nil {
		c.cfg.Logger.Error("the IngressClass could not be made", "err", err)
	}
	defer c.server.Close()
	for {
		c.sync(ctx)
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
	}
}

// ensureClass makes the IngressClass, as the default one unless another is. It is made once: who changes it means it.
func (c *Controller) ensureClass(ctx context.Context) error {
	all, err := c.classes.List(labels.Everything())
	if err != nil {
		return err
	}
	class := &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: ClassName}, Spec: networkingv1.IngressClassSpec{Controller: ControllerName},
	}
	isDefault := func(o *networkingv1.IngressClass) bool {
		return o.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true"
	}
	for _, have := range all {
		if have.Name == ClassName {
			return nil
		}
	}
	if !slices.ContainsFunc(all, isDefault) {
		class.Annotations = map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}
	}
	_, err = c.cfg.Client.NetworkingV1().IngressClasses().Create(ctx, class, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// sync rebuilds everything from what the cluster has now.
func (c *Controller) sync(ctx context.Context) {
	all, err := c.list.List(labels.Everything())
	if err != nil {
		c.cfg.Logger.Error("list Ingresses", "err", err)
		return
	}
	var ours []*networkingv1.Ingress
	var findings []Finding
	for _, ing := range all {
		mine, finding := c.isOurs(ing)
		if mine {
			ours = append(ours, ing)
		}
		if finding != nil {
			findings = append(findings, *finding)
		}
	}
	routes, fallback, more := compile(ours, c.cfg.Services)
	findings = append(findings, more...)
	certs, more := c.certificates(ctx, ours)
	findings = append(findings, more...)
	listeners, opened := c.take()
	c.server.Offer(c.offers(ours, routes, fallback, certs, listeners))
	c.opened()
	for _, tell := range opened {
		tell()
	}
	c.tell(findings, all)
	for _, ing := range ours {
		if want := localStatus(c.server.Status()); !reflect.DeepEqual(ing.Status.LoadBalancer.Ingress, want) {
			c.publish(ctx, ing, want)
		}
	}
}

// isOurs reports whether an Ingress is for this controller.
func (c *Controller) isOurs(ing *networkingv1.Ingress) (bool, *Finding) {
	name := ""
	if ing.Spec.IngressClassName != nil {
		name = *ing.Spec.IngressClassName
	} else {
		name = ing.Annotations["kubernetes.io/ingress.class"]
	}
	if name == "" {
		// Made before there was a default class.
		class, err := c.classes.Get(ClassName)
		return err == nil && class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true", nil
	}
	class, err := c.classes.Get(name)
	if err != nil {
		return false, &Finding{Ingress: ing, Reason: "UnknownClass", Message: fmt.Sprintf(
			"there is no IngressClass %q: name %q, or apply an IngressClass %q with controller %s to have skiff serve it", name, ClassName, name, ControllerName)}
	}
	return class.Spec.Controller == ControllerName, nil
}

// tell makes an event of every finding, once for as long as it lasts.
func (c *Controller) tell(findings []Finding, all []*networkingv1.Ingress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := map[types.UID]map[string]bool{}
	for _, f := range findings {
		uid, id := f.Ingress.UID, f.Reason+f.Message
		if now[uid] == nil {
			now[uid] = map[string]bool{}
		}
		now[uid][id] = true
		if !c.told[uid][id] {
			c.cfg.Recorder.Event(f.Ingress, corev1.EventTypeWarning, f.Reason, f.Message)
		}
	}
	c.told = now
}

// localStatus is where an Ingress answers. Ports are named where they are not the web's own.
func localStatus(st httpproxy.Status) []networkingv1.IngressLoadBalancerIngress {
	at := networkingv1.IngressLoadBalancerIngress{Hostname: "localhost"}
	if st.HTTP != 80 || st.HTTPS != 443 {
		for _, port := range []uint16{st.HTTP, st.HTTPS} {
			if port != 0 {
				at.Ports = append(at.Ports, networkingv1.IngressPortStatus{Port: int32(port), Protocol: corev1.ProtocolTCP})
			}
		}
	}
	return []networkingv1.IngressLoadBalancerIngress{at}
}

func (c *Controller) publish(ctx context.Context, ing *networkingv1.Ingress, want []networkingv1.IngressLoadBalancerIngress) {
	client := c.cfg.Client.NetworkingV1().Ingresses(ing.Namespace)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := client.Get(ctx, ing.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		now.Status.LoadBalancer.Ingress = want
		_, err = client.UpdateStatus(ctx, now, metav1.UpdateOptions{})
		return err
	})
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		c.cfg.Logger.Error("the status of an Ingress could not be written", "ingress", ing.Namespace+"/"+ing.Name, "err", err)
	}
}

// Status reports where the Ingresses are served.
func (c *Controller) Status() httpproxy.Status { return c.server.Status() }
