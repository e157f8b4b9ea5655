package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"skiff.local/skiff/local/network/relayproto"
)

// A Cluster is where the network learns what there is.
type Cluster struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	// CRDs, where there are any, informs about CustomResourceDefinitions, and REST reaches the objects that they define: the
	// Gateway API is served once it is among them.
	CRDs cache.SharedIndexInformer
	REST *rest.Config
}

// burst gathers what changes together into one step; chosen, far below what anybody notices.
const burst = 2 * time.Millisecond

// Run keeps the relay alive and told, and localhost's listeners open, until ctx ends. The relay and the rules in it stay;
// the listeners close.
func (n *Network) Run(ctx context.Context, c Cluster) error {
	localhost := newLocalhost(ctx, n, c)
	defer localhost.close()
	synced, err := n.program.watch(c.Informers)
	if err != nil {
		return fmt.Errorf("watch Services: %w", err)
	}
	more, err := localhost.policing.watch(c)
	if err != nil {
		return fmt.Errorf("watch NetworkPolicies: %w", err)
	}
	stubs, err := localhost.stubs.watch(c)
	if err != nil {
		return fmt.Errorf("watch the configuration of DNS: %w", err)
	}
	synced = append(append(synced, more...), stubs)
	if err := localhost.ingress.Watch(); err != nil {
		return err
	}
	c.Informers.Start(ctx.Done())
	go n.keep(ctx)
	// The Ingresses close their ports when the Services can't take them any more.
	ingressCtx, stopIngress := context.WithCancel(context.WithoutCancel(ctx))
	defer stopIngress()
	context.AfterFunc(ctx, func() { localhost.ports.Close(); stopIngress() })
	serving, applied := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(serving)
		// After the Services: of those, the ones that had localhost's ports the last time have them now, and others wait
		// until the Ingresses have theirs.
		select {
		case <-applied:
		case <-ctx.Done():
			return
		}
		defer time.AfterFunc(settlePorts, localhost.settle).Stop()
		if err := localhost.ingress.Run(ingressCtx); err != nil && ctx.Err() == nil {
			n.log.Error("Ingresses are not served", "err", err)
		}
	}()
	defer func() { <-serving }()
	if !cache.WaitFor(ctx, "", synced...) {
		return ctx.Err()
	}
	localhost.apply(n.program.take())
	close(applied)
	if localhost.gateway != nil {
		routing := make(chan struct{})
		go func() {
			defer close(routing)
			if err := localhost.gateway.Run(ctx); err != nil && ctx.Err() == nil {
				n.log.Error("Gateways are not served", "err", err)
			}
		}()
		defer func() { <-routing }()
	}
	policed := make(chan struct{})
	go func() { defer close(policed); localhost.policing.run(ctx) }()
	defer func() { <-policed }()
	n.programLoop(ctx, localhost)
	return ctx.Err()
}

// WaitListening returns when localhost's ports are open for the Services, pods, Ingresses and Gateways that there were when Run
// began, as far as they can be had.
func (n *Network) WaitListening(ctx context.Context) error {
	select {
	case <-n.listening:
	case <-ctx.Done():
		return fmt.Errorf("wait for localhost's ports: %w", ctx.Err())
	}
	select {
	case <-n.gatewaysListening:
	case <-time.After(gatewaysTime):
		n.log.Warn("the ports of Gateways are not open yet", "after", gatewaysTime)
	case <-ctx.Done():
		return fmt.Errorf("wait for the ports of Gateways: %w", ctx.Err())
	}
	return nil
}

// gatewaysTime is how long a start waits for Gateways: what somebody has done to their definitions must not keep it from
// ending. Chosen; they take a tenth of a second.
const gatewaysTime = 10 * time.Second

// settlePorts is how long the Ingresses have to open the ports that they had before the daemon started. Chosen; they take
// some milliseconds.
const settlePorts = time.Second

// programLoop brings every change into force, in order.
func (n *Network) programLoop(ctx context.Context, localhost *localhost) {
	var told net.Conn // the control stream whose relay knows all but the latest
	for {
		_, changed := n.link.current()
		control, _ := n.link.controlStream()
		localhost.apply(n.program.take())
		if control != nil {
			if err := n.tell(control, control != told); err != nil {
				n.log.Warn("the relay could not be told", "err", err)
				n.link.drop()
			} else {
				told = control
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-n.program.wake:
			if !sleep(ctx, burst) {
				return
			}
		case <-changed:
		}
	}
}

// tell tells the relay what it has yet to be told, and returns when that is in force.
func (n *Network) tell(control net.Conn, full bool) error {
	u, any := n.program.compose(full)
	if any {
		begin := time.Now()
		ack, err := send(control, u)
		if err != nil {
			return err
		}
		if ack.Error != "" {
			n.log.Error("the relay could not apply everything", "err", ack.Error)
		}
		n.program.complain(ack.Error)
		n.log.Debug("programmed", "services", len(u.Services), "removed", len(u.Removed), "full", full, "took", time.Since(begin))
	}
	n.program.finish(u.Generation)
	return nil
}

// watch feeds the program from the cluster's objects.
func (p *program) watch(f informers.SharedInformerFactory) ([]cache.DoneChecker, error) {
	type source struct {
		informer cache.SharedIndexInformer
		set      func(obj any)
		drop     func(obj any)
	}
	sources := []source{
		{f.Core().V1().Services().Informer(), p.onService, p.onServiceGone},
		{f.Discovery().V1().EndpointSlices().Informer(), p.onSlice, p.onSliceGone},
		{f.Core().V1().Pods().Informer(), p.onPod, p.onPodGone},
		{f.Core().V1().Namespaces().Informer(), p.onNamespace, p.onNamespaceGone},
	}
	var synced []cache.DoneChecker
	var failed error
	for _, s := range sources {
		registration, err := s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    s.set,
			UpdateFunc: func(_, obj any) { s.set(obj) },
			DeleteFunc: func(obj any) {
				if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = unknown.Obj
				}
				s.drop(obj)
			},
		})
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		synced = append(synced, registration.HasSyncedChecker())
	}
	return synced, failed
}

func (p *program) onService(obj any) {
	if svc, ok := obj.(*corev1.Service); ok {
		p.setService(relayproto.Key{Namespace: svc.Namespace, Name: svc.Name}, svc)
	}
}

func (p *program) onServiceGone(obj any) {
	if svc, ok := obj.(*corev1.Service); ok {
		p.setService(relayproto.Key{Namespace: svc.Namespace, Name: svc.Name}, nil)
	}
}

func (p *program) onSlice(obj any) {
	if slice, ok := obj.(*discoveryv1.EndpointSlice); ok {
		if svc := slice.Labels[discoveryv1.LabelServiceName]; svc != "" {
			p.setSlice(relayproto.Key{Namespace: slice.Namespace, Name: svc}, slice.Name, slice)
		}
	}
}

func (p *program) onSliceGone(obj any) {
	if slice, ok := obj.(*discoveryv1.EndpointSlice); ok {
		if svc := slice.Labels[discoveryv1.LabelServiceName]; svc != "" {
			p.setSlice(relayproto.Key{Namespace: slice.Namespace, Name: svc}, slice.Name, nil)
		}
	}
}

func (p *program) onPod(obj any) {
	if pod, ok := obj.(*corev1.Pod); ok {
		p.setPod(pod)
	}
}

func (p *program) onPodGone(obj any) {
	if pod, ok := obj.(*corev1.Pod); ok {
		p.dropPod(pod)
	}
}

func (p *program) onNamespace(obj any) {
	if ns, ok := obj.(*corev1.Namespace); ok {
		p.setNamespace(ns.Name, true)
	}
}

func (p *program) onNamespaceGone(obj any) {
	if ns, ok := obj.(*corev1.Namespace); ok {
		p.setNamespace(ns.Name, false)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func shuffled(in []netip.AddrPort) []netip.AddrPort {
	out := slices.Clone(in)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
