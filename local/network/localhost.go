package network

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/local/authority"
	"skiff.local/skiff/local/network/gateway"
	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/ingress"
	"skiff.local/skiff/local/network/listen"
	"skiff.local/skiff/local/network/relayproto"
	"skiff.local/skiff/local/profile"
)

// localhost brings node ports, LoadBalancers and host ports to this machine.
type localhost struct {
	network  *Network
	ports    *listen.Manager
	balancer *balancer
	ingress  *ingress.Controller
	gateway  *gateway.Controller // nil where there are no CustomResourceDefinitions
	policing *policing
	stubs    *stubs
	recorder record.EventRecorder
	log      *accesslog.File
	told     map[types.UID]map[string]bool // only touched by apply
	events   record.EventBroadcaster
}

func newLocalhost(ctx context.Context, n *Network, c Cluster) *localhost {
	client := c.Client
	l := &localhost{network: n, events: record.NewBroadcaster(record.WithContext(ctx))}
	l.events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := l.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "skiff-network"})
	l.ports = listen.New(listen.Config{
		Dial: n.dialCluster,
		Failed: func(p listen.Problem) {
			recorder.Event(n.program.reference(p.Owner), corev1.EventTypeWarning, "PortUnavailable", l.balancer.portMessage(p, l.ingress.Status()))
			n.program.touch(p.Owner)
		},
		Opened: func(o listen.Owner, p listen.Port) {
			recorder.Event(n.program.reference(o), corev1.EventTypeNormal, "PortOpened", fmt.Sprintf("%s answers now", p))
			n.program.touch(o)
		},
		Logger: n.log,
	})
	l.recorder = recorder
	l.balancer = newBalancer(ctx, n, client)
	changed := func() {
		if l.gateway != nil {
			l.gateway.Poke()
		}
	}
	l.ingress = ingress.New(ingress.Config{
		Client: client, Informers: c.Informers, Recorder: recorder, Services: n.program, Backends: n.program.backends,
		Pod: n.program.pod, Dial: n.dialCluster, Bind: n.cfg.Bind, Ports: n.cfg.IngressPorts, Authority: n.authority(),
		AccessLog: l.accessLog(), Changed: changed, Opened: func() { close(n.listening) }, Logger: n.log,
	})
	if c.CRDs != nil {
		l.gateway = gateway.New(gateway.Config{
			REST: c.REST, CRDs: c.CRDs, Informers: c.Informers, Services: n.program, Proxy: l.ingress, Address: l.balancer.gateway,
			Release: func(namespace, name string) { l.balancer.forget(gatewayKey(namespace, name)) }, Opened: func() { close(n.gatewaysListening) }, Logger: n.log,
		})
	} else {
		close(n.gatewaysListening)
	}
	n.program.onServices(func() { l.ingress.ServicesChanged(); changed() })
	l.policing = newPolicing(n, c, recorder)
	n.program.onExternalIPs(l.policing.poke)
	l.stubs = newStubs(n.program, recorder)
	n.mu.Lock()
	n.ports, n.balancer, n.ingress, n.gateway, n.policing = l.ports, l.balancer, l.ingress, l.gateway, l.policing
	n.mu.Unlock()
	return l
}

// accessLog is where requests to Ingresses are noted.
func (l *localhost) accessLog() io.Writer {
	cfg := l.network.cfg
	if cfg.IngressLog != nil || cfg.Home == "" {
		return cfg.IngressLog
	}
	l.log = accesslog.NewFile(filepath.Join(cfg.Home, profile.IngressLogFile))
	return l.log
}

// authority opens the local certificate authority, where there is a place for it.
func (n *Network) authority() *authority.Authority {
	if n.cfg.AuthorityDir == "" {
		return nil
	}
	a, err := authority.Open(n.cfg.AuthorityDir)
	if err != nil {
		n.log.Error("hosts without a Secret have no TLS", "err", err)
		return nil
	}
	return a
}

func (l *localhost) close() {
	l.ports.Close()
	if l.log != nil {
		_ = l.log.Close()
	}
	l.events.Shutdown()
}

// apply opens and closes ports for the views that changed.
func (l *localhost) apply(views map[relayproto.Key]*view) {
	for key, v := range views {
		owner := listenOwner(key)
		if v == nil {
			l.ports.Set(owner, nil)
			l.balancer.forget(key)
			l.ingress.Forget(key, nil)
			continue
		}
		l.ports.Set(owner, l.portsOf(key, v))
		l.balancer.report(key, func(addr netip.Addr, p corev1.ServicePort) bool {
			at := listen.Port{Addr: netip.AddrPortFrom(addr, uint16(p.Port)), Protocol: protocol(p.Protocol)}
			return l.ports.Open(owner, at)
		})
		l.ingress.Forget(key, v.all())
		l.tellUnserved(l.network.program.service(key))
	}
}

// portsOf is what a Service, or a pod with host ports, has open on this machine.
func (l *localhost) portsOf(key relayproto.Key, v *view) map[listen.Port]listen.Target {
	ports := map[listen.Port]listen.Target{}
	add := func(addr netip.Addr, port uint16, p relayproto.Port, sources ...netip.Prefix) {
		if port == 0 || p.Protocol == relayproto.SCTP {
			return
		}
		// IPv6 may be off on this machine; nobody misses it then.
		quiet := addr == netip.IPv6Loopback()
		ports[listen.Port{Addr: netip.AddrPortFrom(addr, port), Protocol: p.Protocol}] = listen.Target{
			Backends: p.Backends, Affinity: time.Duration(v.relay.AffinitySeconds) * time.Second, Sources: sources, Quiet: quiet,
		}
	}
	balanced := l.balancer.addresses(key)
	for _, p := range v.relay.Ports {
		for _, addr := range l.network.cfg.Bind {
			add(addr, p.NodePort, p)
		}
		if v.relay.NoDNS {
			for _, addr := range l.hostBind(v, p) {
				add(addr, p.Port, p)
			}
		}
		for _, addr := range balanced {
			add(addr, p.Port, p, v.sources...)
		}
	}
	if v.healthPort != 0 {
		health := &health{key, v.ready}
		for _, addr := range l.network.cfg.Bind {
			at := listen.Port{Addr: netip.AddrPortFrom(addr, v.healthPort), Protocol: relayproto.TCP}
			ports[at] = listen.Target{Answer: health.answer, Quiet: addr == netip.IPv6Loopback()}
		}
	}
	return ports
}

// settle lets LoadBalancers have localhost's ports that were somebody else's before the daemon started.
func (l *localhost) settle() {
	l.balancer.settled.Store(true)
	l.network.program.touchBalancers()
}

// hostBind are the addresses that a pod's host port is opened on.
func (l *localhost) hostBind(v *view, p relayproto.Port) []netip.Addr {
	if addrs, ok := v.bind[hostPort{p.Port, p.Protocol}]; ok {
		return addrs
	}
	return l.network.cfg.Bind
}

func listenOwner(key relayproto.Key) listen.Owner {
	if name, ok := cutPod(key.Name); ok {
		return listen.Owner{Kind: "Pod", Namespace: key.Namespace, Name: name}
	}
	return listen.Owner{Kind: "Service", Namespace: key.Namespace, Name: key.Name}
}

// reference is the object that events about a port belong to.
func (p *program) reference(o listen.Owner) *corev1.ObjectReference {
	ref := &corev1.ObjectReference{APIVersion: "v1", Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
	p.mu.Lock()
	defer p.mu.Unlock()
	var uid types.UID
	if o.Kind == "Pod" {
		if pod := p.hostPods[podKey(o.Namespace, o.Name)]; pod != nil {
			uid = pod.UID
		}
	} else if svc := p.services[relayproto.Key{Namespace: o.Namespace, Name: o.Name}]; svc != nil {
		uid = svc.UID
	}
	ref.UID = uid
	return ref
}
