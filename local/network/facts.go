package network

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/relayproto"
)

func (p *program) setService(key relayproto.Key, svc *corev1.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	routed := func(s *corev1.Service) bool { return s != nil && len(s.Spec.ExternalIPs) > 0 }
	if p.externalChanged != nil && (routed(svc) || routed(p.services[key])) {
		p.externalChanged()
	}
	if svc == nil {
		delete(p.services, key)
	} else {
		p.services[key] = svc
	}
	p.markLocked(key)
	if p.servicesChanged != nil {
		p.servicesChanged()
	}
}

// externalIPs are those of all Services, ascending.
func (p *program) externalIPs() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []netip.Addr
	for _, svc := range p.services {
		all = append(all, externalIPs(svc, p.network.cfg.Subnet)...)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

func (p *program) setSlice(key relayproto.Key, name string, slice *discoveryv1.EndpointSlice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slice == nil {
		delete(p.slices[key], name)
		if len(p.slices[key]) == 0 {
			delete(p.slices, key)
		}
	} else {
		if p.slices[key] == nil {
			p.slices[key] = map[string]*discoveryv1.EndpointSlice{}
		}
		p.slices[key][name] = slice
	}
	p.markLocked(key)
}

// A place is where a pod is.
type place struct {
	addr netip.Addr
	node string
}

// setPlace notes where a pod is; nowhere when it has no address of its own, or is over.
func (p *program) setPlace(pod *corev1.Pod, gone bool) {
	if p.network.cfg.Nodes < 2 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var now place
	if addr, err := netip.ParseAddr(pod.Status.PodIP); err == nil && addr.Is4() && !gone && !pod.Spec.HostNetwork && !isOver(pod) {
		now = place{addr, pod.Spec.NodeName}
	}
	if p.places[pod.UID] == now {
		return
	}
	if now == (place{}) {
		delete(p.places, pod.UID)
	} else {
		p.places[pod.UID] = now
	}
	p.placesDirty = true
	p.markLocked()
}

func (p *program) nodesLocked() map[string][]netip.Addr {
	nodes := map[string][]netip.Addr{}
	for _, at := range p.places {
		nodes[at.node] = append(nodes[at.node], at.addr)
	}
	for _, addrs := range nodes {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
	return nodes
}

func (p *program) setPod(pod *corev1.Pod) {
	p.setPlace(pod, false)
	if !hasHostPorts(pod) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := podKey(pod.Namespace, pod.Name)
	p.hostPods[key] = pod
	p.markLocked(key)
}

func (p *program) dropPod(pod *corev1.Pod) {
	p.setPlace(pod, true)
	p.mu.Lock()
	defer p.mu.Unlock()
	// Endpoints may lag behind, and the engine gives a free address away at once: a pod that is no more must not come
	// back as an endpoint that is somebody else.
	if len(p.byPod[pod.UID]) > 0 {
		p.draining[pod.UID], p.ended[pod.UID] = struct{}{}, struct{}{}
		p.markLocked(slices.Collect(maps.Keys(p.byPod[pod.UID]))...)
	} else {
		delete(p.draining, pod.UID)
	}
	key := podKey(pod.Namespace, pod.Name)
	if have := p.hostPods[key]; have != nil && have.UID == pod.UID {
		delete(p.hostPods, key)
		p.markLocked(key)
	}
}

func (p *program) setNamespace(name string, exists bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, had := p.namespaces[name]; had == exists {
		return
	}
	if exists {
		p.namespaces[name] = struct{}{}
	} else {
		delete(p.namespaces, name)
	}
	p.namespacesDirty = true
	p.markLocked()
}

// drain takes a pod out of what new connections may go to, and returns the change to wait for. It reports false for a
// pod that nothing goes to.
func (p *program) drain(uid types.UID) (change uint64, served bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, already := p.draining[uid]; !already {
		p.draining[uid] = struct{}{}
		p.markLocked(slices.Collect(maps.Keys(p.byPod[uid]))...)
	}
	return p.asked, len(p.byPod[uid]) > 0
}

// endpointsOf are the addresses and TCP ports that a pod has as an endpoint.
func (p *program) endpointsOf(uid types.UID) []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []netip.AddrPort
	for key := range p.byPod[uid] {
		svc := p.services[key]
		if svc == nil {
			continue // a pod's own host ports, or gone meanwhile
		}
		for _, slice := range p.slices[key] {
			one := *slice
			one.Endpoints = slices.DeleteFunc(slices.Clone(slice.Endpoints), func(e discoveryv1.Endpoint) bool {
				return e.TargetRef == nil || e.TargetRef.UID != uid
			})
			for _, e := range collect(svc, []*discoveryv1.EndpointSlice{&one}, p.fateLocked, map[types.UID]struct{}{}) {
				for _, port := range e.ports {
					if port.Protocol == relayproto.TCP {
						all = append(all, netip.AddrPortFrom(e.addr, port.Port))
					}
				}
			}
		}
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all)
}

func (p *program) fateLocked(uid types.UID) fate {
	if _, ok := p.ended[uid]; ok {
		return hasEnded
	}
	if _, ok := p.draining[uid]; ok {
		return isEnding
	}
	return stays
}

// forgetEndedLocked forgets the pods that no Service has as an endpoint any more.
func (p *program) forgetEndedLocked() {
	for uid, keys := range p.byPod {
		if len(keys) == 0 {
			delete(p.byPod, uid)
		}
	}
	for uid := range p.ended {
		if len(p.byPod[uid]) == 0 {
			delete(p.ended, uid)
			delete(p.draining, uid)
		}
	}
}
