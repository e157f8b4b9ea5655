package network

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/relayproto"
)

// A view is everything that follows from one Service and its endpoints.
type view struct {
	relay relayproto.Service
	pods  map[types.UID]struct{} // that are behind the Service, ready or not
	ready int                    // how many addresses are ready endpoints
	// healthPort is a port of the node that tells whether there are any; 0 for none.
	healthPort uint16
	health     []relayproto.Port // what the relay makes of it
	// sources are the networks that a LoadBalancer's clients may come from; nil for any.
	sources []netip.Prefix
	// bind is where a host port is opened on this machine; elsewhere as usual.
	bind map[hostPort][]netip.Addr
}

// backends returns the endpoints of one of the Service's ports.
func (v *view) backends(port uint16, proto relayproto.Protocol) ([]netip.AddrPort, bool) {
	for _, p := range v.relay.Ports {
		if p.Port == port && p.Protocol == proto {
			return p.Backends, true
		}
	}
	return nil, false
}

// all are the endpoints of all ports.
func (v *view) all() []netip.AddrPort {
	var all []netip.AddrPort
	for _, p := range v.relay.Ports {
		all = append(all, p.Backends...)
	}
	return all
}

// A fate is what is known about a pod before its endpoints say so.
type fate int

const (
	stays fate = iota
	isEnding
	hasEnded
)

// project works out what a Service means. Its endpoints are corrected by the fate of their pods.
func project(svc *corev1.Service, subnet netip.Prefix, slices_ []*discoveryv1.EndpointSlice, fateOf func(types.UID) fate) *view {
	v := &view{
		relay: relayproto.Service{Key: relayproto.Key{Namespace: svc.Namespace, Name: svc.Name}},
		pods:  map[types.UID]struct{}{},
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		v.relay.ExternalName = strings.TrimSuffix(svc.Spec.ExternalName, ".")
		return v
	}
	var endpoints endpoints
	if !leftToOthers(svc) {
		endpoints = collect(svc, slices_, fateOf, v.pods)
	}
	if port := uint16(svc.Spec.HealthCheckNodePort); port != 0 {
		v.ready, v.healthPort = len(endpoints.records()), port
		// The relay leads to localhost, where it is answered.
		v.health = []relayproto.Port{{
			Protocol: relayproto.TCP, NodePort: port, Backends: []netip.AddrPort{netip.AddrPortFrom(HostAddr(subnet), relayproto.HostPort)},
		}}
	}
	for _, text := range svc.Spec.LoadBalancerSourceRanges {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
			v.sources = append(v.sources, p)
		}
	}
	v.relay.Headless = svc.Spec.ClusterIP == corev1.ClusterIPNone
	v.relay.AffinitySeconds = int(affinity(svc) / time.Second)
	for _, text := range svc.Spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() {
			v.relay.ClusterIPs = append(v.relay.ClusterIPs, ip)
		}
	}
	v.relay.ExternalIPs = externalIPs(svc, subnet)
	for _, p := range svc.Spec.Ports {
		port := relayproto.Port{
			Name: p.Name, Protocol: protocol(p.Protocol), Port: uint16(p.Port), NodePort: uint16(p.NodePort),
			Backends: onHost(subnet, endpoints.backends(p.Name, protocol(p.Protocol))),
		}
		if svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal {
			port.Local = endpoints.byNode(port.Name, port.Protocol)
			for node, backends := range port.Local {
				port.Local[node] = onHost(subnet, backends)
			}
		}
		v.relay.Ports = append(v.relay.Ports, port)
	}
	if v.relay.Headless {
		v.relay.Endpoints = endpoints.records()
		// A headless Service forwards nothing: its backends are for callers of DialContext only.
	}
	return v
}

// leftToOthers reports whether a Service asks to be forwarded by something of its own, or not at all, as kube-proxy has it. Only
// its name is served then.
func leftToOthers(svc *corev1.Service) bool {
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		return false
	}
	_, named := svc.Labels["service.kubernetes.io/service-proxy-name"]
	_, headless := svc.Labels[corev1.IsHeadlessService]
	return named || headless
}

// externalIPs are those of a Service's that pods can be given a way to: none of the cluster's own subnet.
func externalIPs(svc *corev1.Service, subnet netip.Prefix) []netip.Addr {
	var all []netip.Addr
	for _, text := range svc.Spec.ExternalIPs {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() && svc.Spec.ClusterIP != corev1.ClusterIPNone && !subnet.Contains(ip) {
			all = append(all, ip)
		}
	}
	return all
}

// An endpoint is one address of a slice with the ports of that slice.
type endpoint struct {
	addr     netip.Addr
	hostname string
	node     string
	ports    []relayproto.EndpointPort
	state    endpointState
}

// endpointState orders endpoints by how good they are.
type endpointState int

const (
	unusable    endpointState = iota
	terminating               // on its way out, but still answering: better than nothing
	ready
)

type endpoints []endpoint

func collect(svc *corev1.Service, list []*discoveryv1.EndpointSlice, fateOf func(types.UID) fate, pods map[types.UID]struct{}) endpoints {
	var all endpoints
	for _, slice := range list {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		if _, headless := slice.Labels[corev1.IsHeadlessService]; headless && svc.Spec.ClusterIP != corev1.ClusterIPNone {
			continue // not to be forwarded to
		}
		var ports []relayproto.EndpointPort
		for _, p := range slice.Ports {
			if p.Port != nil && *p.Port > 0 && *p.Port < 65536 {
				proto := corev1.ProtocolTCP
				if p.Protocol != nil {
					proto = *p.Protocol
				}
				ports = append(ports, relayproto.EndpointPort{Name: deref(p.Name), Protocol: protocol(proto), Port: uint16(*p.Port)})
			}
		}
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			state := stateOf(e)
			if e.TargetRef != nil && e.TargetRef.UID != "" {
				pods[e.TargetRef.UID] = struct{}{}
				switch fateOf(e.TargetRef.UID) {
				case hasEnded:
					state = unusable
				case isEnding:
					if state == ready && !svc.Spec.PublishNotReadyAddresses {
						state = terminating
					}
				}
			}
			for _, text := range e.Addresses {
				if addr, err := netip.ParseAddr(text); err == nil && addr.Is4() {
					all = append(all, endpoint{addr: addr, hostname: deref(e.Hostname), node: deref(e.NodeName), ports: ports, state: state})
				}
			}
		}
	}
	return all
}

// stateOf reads an endpoint's conditions; absent ones mean what the API reference says they mean.
func stateOf(e *discoveryv1.Endpoint) endpointState {
	isReady := e.Conditions.Ready == nil || *e.Conditions.Ready
	serving := isReady
	if e.Conditions.Serving != nil {
		serving = *e.Conditions.Serving
	}
	switch {
	case isReady:
		return ready
	case serving && e.Conditions.Terminating != nil && *e.Conditions.Terminating:
		return terminating
	}
	return unusable
}

// backends are the best endpoints that have the port: ready ones, or terminating ones when nothing else is left.
func (all endpoints) backends(port string, proto relayproto.Protocol) []netip.AddrPort {
	best := terminating
	var found []netip.AddrPort
	for _, e := range all {
		for _, p := range e.ports {
			if p.Name != port || p.Protocol != proto || e.state < best {
				continue
			}
			if e.state > best {
				best, found = e.state, nil
			}
			found = append(found, netip.AddrPortFrom(e.addr, p.Port))
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found)
}

// byNode are the best endpoints on each node.
func (all endpoints) byNode(port string, proto relayproto.Protocol) map[string][]netip.AddrPort {
	nodes := map[string]endpoints{}
	for _, e := range all {
		nodes[e.node] = append(nodes[e.node], e)
	}
	found := map[string][]netip.AddrPort{}
	for node, list := range nodes {
		if backends := list.backends(port, proto); len(backends) > 0 {
			found[node] = backends
		}
	}
	return found
}

// records are the names and addresses of the ready endpoints. An address that several slices have (for different named
// ports) is one endpoint with the ports of all.
func (all endpoints) records() []relayproto.Endpoint {
	index := map[netip.Addr]int{}
	var found []relayproto.Endpoint
	for _, e := range all {
		if e.state != ready {
			continue
		}
		i, ok := index[e.addr]
		if !ok {
			i = len(found)
			index[e.addr] = i
			found = append(found, relayproto.Endpoint{Addr: e.addr, Hostname: e.hostname})
		}
		for _, p := range e.ports {
			if !slices.Contains(found[i].Ports, p) {
				found[i].Ports = append(found[i].Ports, p)
			}
		}
	}
	slices.SortFunc(found, func(a, b relayproto.Endpoint) int { return a.Addr.Compare(b.Addr) })
	return found
}

// podKey can't be the key of a Service: names have no colon.
func podKey(namespace, name string) relayproto.Key {
	return relayproto.Key{Namespace: namespace, Name: podPrefix + name}
}

const podPrefix = "pod:"

func isOver(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func affinity(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
}

func protocol(p corev1.Protocol) relayproto.Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return relayproto.UDP
	case corev1.ProtocolSCTP:
		return relayproto.SCTP
	}
	return relayproto.TCP
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
