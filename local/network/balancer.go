package network

import (
	"context"
	"hash/fnv"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"skiff.local/skiff/local/network/relayproto"
)

// LoadBalancerClass may be named by Services; those that name another class are left to whoever serves that.
const LoadBalancerClass = "skiff.local/localhost"

// A balancer gives Services of type LoadBalancer their addresses on this machine: localhost, and where the loopback
// network has more than one address (Linux) one of their own, so that two Services on one port don't collide.
type balancer struct {
	ctx     context.Context
	network *Network
	client  kubernetes.Interface
	own     bool // this system answers on all of 127.0.0.0/8
	// settled is set when who had localhost's ports before had the time to take them again.
	settled atomic.Bool

	mu       sync.Mutex
	assigned map[relayproto.Key]netip.Addr // guarded by mu
}

func newBalancer(ctx context.Context, n *Network, client kubernetes.Interface) *balancer {
	return &balancer{
		ctx: ctx, network: n, client: client, own: runtime.GOOS == "linux", assigned: map[relayproto.Key]netip.Addr{},
	}
}

// addresses are where the Service's own ports are wanted; none unless it is a LoadBalancer of ours.
func (b *balancer) addresses(key relayproto.Key) []netip.Addr {
	svc := b.network.program.service(key)
	if svc == nil || svc.Spec.Type != corev1.ServiceTypeLoadBalancer || !ourClass(svc.Spec.LoadBalancerClass) {
		if svc != nil {
			b.clear(svc)
		}
		b.forget(key)
		return nil
	}
	var addrs []netip.Addr
	if b.settled.Load() || !lostLocalhost(svc) {
		addrs = slices.Clone(b.network.cfg.Bind)
	}
	if b.own {
		var have []string
		for _, in := range svc.Status.LoadBalancer.Ingress {
			have = append(have, in.IP)
		}
		addrs = append(addrs, b.assign(key, have))
	}
	return addrs
}

// lostLocalhost reports whether somebody else had localhost's ports when this was looked at last: who had them then gets
// them first when the daemon starts, whatever the order that objects are read in.
func lostLocalhost(svc *corev1.Service) bool {
	at := svc.Status.LoadBalancer.Ingress
	return len(at) > 0 && !slices.ContainsFunc(at, func(in corev1.LoadBalancerIngress) bool {
		open := func(p corev1.ServicePort) bool {
			return len(in.Ports) == 0 || slices.ContainsFunc(in.Ports, func(s corev1.PortStatus) bool { return s.Port == p.Port && s.Error == nil })
		}
		return in.Hostname != "" && slices.ContainsFunc(svc.Spec.Ports, open)
	})
}

// report brings a LoadBalancer's status up to what is open for it.
func (b *balancer) report(key relayproto.Key, open func(netip.Addr, corev1.ServicePort) bool) {
	svc := b.network.program.service(key)
	if svc == nil || svc.Spec.Type != corev1.ServiceTypeLoadBalancer || !ourClass(svc.Spec.LoadBalancerClass) {
		return
	}
	want := balanced(svc, b.network.cfg.Bind, b.address(key), open)
	if !slices.EqualFunc(svc.Status.LoadBalancer.Ingress, want, sameIngress) {
		go b.publish(svc, want)
	}
}

// address is the Service's own one; invalid where it has none.
func (b *balancer) address(key relayproto.Key) netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.assigned[key]
}

// balanced is a LoadBalancer's status: localhost and its own address, as far as its ports are open there. Without any it is
// localhost all the same, with what is wrong with each port and the node port to use instead: the Service must not look as if
// somebody were still at it.
func balanced(svc *corev1.Service, bind []netip.Addr, own netip.Addr, open func(netip.Addr, corev1.ServicePort) bool) []corev1.LoadBalancerIngress {
	shared := func(p corev1.ServicePort) bool {
		return slices.ContainsFunc(bind, func(a netip.Addr) bool { return open(a, p) })
	}
	var at []corev1.LoadBalancerIngress
	localhost, n := portStatuses(svc, shared)
	if n > 0 {
		at = append(at, corev1.LoadBalancerIngress{Hostname: "localhost", Ports: localhost})
	}
	if own.IsValid() {
		if ports, n := portStatuses(svc, func(p corev1.ServicePort) bool { return open(own, p) }); n > 0 {
			at = append(at, corev1.LoadBalancerIngress{IP: own.String(), IPMode: ipMode(), Ports: ports})
		}
	}
	if len(at) == 0 {
		for _, p := range svc.Spec.Ports {
			if p.NodePort != 0 {
				localhost = append(localhost, corev1.PortStatus{Port: p.NodePort, Protocol: p.Protocol})
			}
		}
		at = []corev1.LoadBalancerIngress{{Hostname: "localhost", Ports: localhost}}
	}
	return at
}

// portStatuses is nil when all ports are open; n is how many are.
func portStatuses(svc *corev1.Service, open func(corev1.ServicePort) bool) (list []corev1.PortStatus, n int) {
	closed := "PortUnavailable"
	for _, p := range svc.Spec.Ports {
		status := corev1.PortStatus{Port: p.Port, Protocol: p.Protocol}
		if open(p) {
			n++
		} else {
			status.Error = &closed
		}
		list = append(list, status)
	}
	if n == len(svc.Spec.Ports) {
		return nil, n
	}
	return list, n
}

func ipMode() *corev1.LoadBalancerIPMode {
	mode := corev1.LoadBalancerIPModeProxy
	return &mode
}

func sameIngress(a, b corev1.LoadBalancerIngress) bool {
	return a.IP == b.IP && a.Hostname == b.Hostname && reflect.DeepEqual(a.Ports, b.Ports)
}

func ourClass(class *string) bool { return class == nil || *class == LoadBalancerClass }

// gateway gives a Gateway an address of its own, where this system has any to give and they are not all taken together:
// one that it asks for, or one that it has.
func (b *balancer) gateway(namespace, name string, asked, have []string) netip.Addr {
	if !b.own || slices.ContainsFunc(b.network.cfg.Bind, netip.Addr.IsUnspecified) {
		return netip.Addr{}
	}
	key := gatewayKey(namespace, name)
	b.mu.Lock()
	if ip, ok := b.assigned[key]; ok && len(asked) > 0 && !slices.Contains(asked, ip.String()) {
		delete(b.assigned, key)
	}
	b.mu.Unlock()
	return b.assign(key, append(asked, have...))
}

// gatewayKey is none that a Service may have.
func gatewayKey(namespace, name string) relayproto.Key {
	return relayproto.Key{Namespace: namespace, Name: "gateway/" + name}
}

// assign gives a Service an address of 127.0.0.0/8: one that it has already, or one derived from its name, so that it
// stays the same from one day to the next.
func (b *balancer) assign(key relayproto.Key, have []string) netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ip, ok := b.assigned[key]; ok {
		return ip
	}
	taken := map[netip.Addr]bool{}
	for _, ip := range b.assigned {
		taken[ip] = true
	}
	for _, in := range have {
		if ip, err := netip.ParseAddr(in); err == nil && ip.IsLoopback() && ip.Is4() && !taken[ip] && !slices.Contains(b.network.cfg.Bind, ip) {
			b.assigned[key] = ip
			return ip
		}
	}
	sum := fnv.New32a()
	sum.Write([]byte(key.Namespace + "/" + key.Name))
	for n := sum.Sum32(); ; n++ {
		// 127.64.0.1 to 127.127.255.254: 127.0.0.0/16 and 127.1.0.0/16 are where other tools put theirs.
		ip := netip.AddrFrom4([4]byte{127, 64 + byte(n>>16)&63, byte(n >> 8), 1 + byte(n)%254})
		if !taken[ip] {
			b.assigned[key] = ip
			return ip
		}
	}
}

func (b *balancer) forget(key relayproto.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.assigned, key)
}

// clear takes the status away from a Service that is no LoadBalancer any more.
func (b *balancer) clear(svc *corev1.Service) {
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer || len(svc.Status.LoadBalancer.Ingress) == 0 {
		return
	}
	go b.publish(svc, nil)
}

// publishTimeout bounds a status update; the API is in this process.
const publishTimeout = 10 * time.Second

func (b *balancer) publish(svc *corev1.Service, want []corev1.LoadBalancerIngress) {
	ctx, cancel := context.WithTimeout(b.ctx, publishTimeout)
	defer cancel()
	services := b.client.CoreV1().Services(svc.Namespace)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := services.Get(ctx, svc.Name, metav1.GetOptions{})
		if err != nil || now.UID != svc.UID || (now.Spec.Type == corev1.ServiceTypeLoadBalancer) != (want != nil) {
			return err
		}
		if slices.EqualFunc(now.Status.LoadBalancer.Ingress, want, sameIngress) {
			return nil
		}
		now.Status.LoadBalancer.Ingress = want
		_, err = services.UpdateStatus(ctx, now, metav1.UpdateOptions{})
		return err
	})
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		b.network.log.Error("the status of a LoadBalancer could not be written", "service", svc.Namespace+"/"+svc.Name, "err", err)
	}
}

func (p *program) service(key relayproto.Key) *corev1.Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.services[key]
}

func cutPod(name string) (string, bool) { return strings.CutPrefix(name, podPrefix) }
