package network

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/corefile"
	"skiff.local/skiff/local/network/listen"
	"skiff.local/skiff/local/network/relayproto"
)

// A program is what the relay and the localhost listeners are told: the cluster's objects, what follows from them, and
// what has yet to be told.
type program struct {
	network *Network

	mu         sync.Mutex // guards everything below
	services   map[relayproto.Key]*corev1.Service
	slices     map[relayproto.Key]map[string]*discoveryv1.EndpointSlice
	hostPods   map[relayproto.Key]*corev1.Pod
	places     map[types.UID]place // of pods, where there is more than one node
	namespaces map[string]struct{}
	stubs      corefile.Config
	draining   map[types.UID]struct{} // pods about to stop, and those that have ended but are still endpoints
	ended      map[types.UID]struct{} // of those, the ones that are no more
	policies   []relayproto.PodPolicy

	views map[relayproto.Key]*view
	byPod map[types.UID]map[relayproto.Key]struct{}

	dirty           map[relayproto.Key]struct{}
	namespacesDirty bool
	stubsDirty      bool
	policiesDirty   bool
	placesDirty     bool
	unsent          map[relayproto.Key]struct{} // views that the relay has not been told
	asked           uint64                      // grows with every change
	taken           uint64                      // the last change that views reflect
	done            uint64                      // the last of them that is in force everywhere
	progress        chan struct{}
	wake            chan struct{}
	trouble         string // what the relay could not apply
	servicesChanged func()
	externalChanged func() // called when a Service with externalIPs changes; must not block or call back
}

func newProgram(n *Network) *program {
	return &program{
		network:  n,
		services: map[relayproto.Key]*corev1.Service{}, slices: map[relayproto.Key]map[string]*discoveryv1.EndpointSlice{},
		hostPods: map[relayproto.Key]*corev1.Pod{}, places: map[types.UID]place{}, namespaces: map[string]struct{}{}, draining: map[types.UID]struct{}{}, ended: map[types.UID]struct{}{},
		views: map[relayproto.Key]*view{}, byPod: map[types.UID]map[relayproto.Key]struct{}{},
		dirty: map[relayproto.Key]struct{}{}, unsent: map[relayproto.Key]struct{}{},
		progress: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// markLocked notes that something about a key changed.
func (p *program) markLocked(keys ...relayproto.Key) {
	for _, k := range keys {
		p.dirty[k] = struct{}{}
	}
	p.asked++
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

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

// onServices has changed called whenever a Service appears, changes or goes; it must not block or call back.
func (p *program) onServices(changed func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servicesChanged = changed
}

// onExternalIPs has changed called whenever a Service with externalIPs appears, changes or goes; it must not block or call
// back.
func (p *program) onExternalIPs(changed func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.externalChanged = changed
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

// touch has what follows from an object put in force again.
func (p *program) touch(o listen.Owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key := (relayproto.Key{Namespace: o.Namespace, Name: o.Name}); o.Kind == "Service" && p.services[key] != nil {
		p.markLocked(key)
	}
}

// touchBalancers touches every LoadBalancer.
func (p *program) touchBalancers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, svc := range p.services {
		if svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			p.markLocked(key)
		}
	}
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

// addressesOf are the addresses that a pod has as an endpoint.
func (p *program) addressesOf(uid types.UID) []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []netip.Addr
	for key := range p.byPod[uid] {
		for _, slice := range p.slices[key] {
			for _, e := range slice.Endpoints {
				if e.TargetRef == nil || e.TargetRef.UID != uid {
					continue
				}
				for _, text := range e.Addresses {
					if addr, err := netip.ParseAddr(text); err == nil && !slices.Contains(all, addr) {
						all = append(all, addr)
					}
				}
			}
		}
	}
	return all
}

// take computes what follows from the changes since the last call and returns the views that changed; nil for those that
// are gone. The relay has yet to be told; see compose.
func (p *program) take() map[relayproto.Key]*view {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := map[relayproto.Key]*view{}
	for key := range p.dirty {
		v := p.projectLocked(key)
		p.replaceLocked(key, v)
		changed[key] = v
		p.unsent[key] = struct{}{}
	}
	p.forgetEndedLocked()
	clear(p.dirty)
	p.taken = p.asked
	return changed
}

// compose returns what the relay has yet to be told, or with full everything, and forgets it: who can't tell it must
// compose everything the next time. It reports false when there is nothing to tell.
func (p *program) compose(full bool) (u relayproto.Update, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u.Generation, u.Full = p.taken, full
	if full {
		for key := range p.views {
			p.unsent[key] = struct{}{}
		}
	}
	for key := range p.unsent {
		if v := p.views[key]; v != nil {
			u.Services = append(u.Services, v.forRelay(p.network.cfg.Nodes))
		} else if !full {
			u.Removed = append(u.Removed, key)
		}
	}
	if full || p.namespacesDirty {
		u.Namespaces = append([]string{}, slices.Sorted(maps.Keys(p.namespaces))...)
	}
	if full || p.stubsDirty {
		u.Stubs, u.Hosts = map[string][]netip.AddrPort{}, map[string][]netip.Addr{}
		maps.Copy(u.Stubs, p.stubs.Stubs)
		maps.Copy(u.Hosts, p.stubs.Hosts)
	}
	if full || p.policiesDirty {
		list := append([]relayproto.PodPolicy{}, p.policies...)
		u.Policies = &list
	}
	if p.network.cfg.Nodes > 1 && (full || p.placesDirty) {
		u.Nodes = p.nodesLocked()
	}
	any = full || p.placesDirty || len(p.unsent) > 0 || p.namespacesDirty || p.stubsDirty || p.policiesDirty
	clear(p.unsent)
	p.namespacesDirty, p.stubsDirty, p.policiesDirty, p.placesDirty = false, false, false, false
	slices.SortFunc(u.Services, func(a, b relayproto.Service) int { return compareKeys(a.Key, b.Key) })
	slices.SortFunc(u.Removed, compareKeys)
	return u, any
}

func (p *program) projectLocked(key relayproto.Key) *view {
	if svc := p.services[key]; svc != nil {
		return project(svc, p.network.cfg.Subnet, slices.Collect(maps.Values(p.slices[key])), p.fateLocked)
	}
	if pod := p.hostPods[key]; pod != nil && p.fateLocked(pod.UID) == stays {
		return hostPorts(pod, RelayAddr(p.network.cfg.Subnet))
	}
	return nil
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

func (p *program) replaceLocked(key relayproto.Key, now *view) {
	if old := p.views[key]; old != nil {
		for uid := range old.pods {
			delete(p.byPod[uid], key)
		}
	}
	if now == nil {
		delete(p.views, key)
		return
	}
	p.views[key] = now
	for uid := range now.pods {
		if p.byPod[uid] == nil {
			p.byPod[uid] = map[relayproto.Key]struct{}{}
		}
		p.byPod[uid][key] = struct{}{}
	}
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

// finish records that everything up to a change is in force.
func (p *program) finish(change uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = max(p.done, change)
	close(p.progress)
	p.progress = make(chan struct{})
}

// complain remembers what the relay could not apply.
func (p *program) complain(trouble string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = trouble
}

// reached reports whether a change is in force, and what to wait for when it is not.
func (p *program) reached(change uint64) (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done >= change, p.progress
}

// resolve finds the endpoints behind a Service's name or address. It reports false for what is not a Service.
func (p *program) resolve(host string, port uint16, proto relayproto.Protocol) ([]netip.AddrPort, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.findLocked(host)
	if v == nil {
		return nil, false, nil
	}
	if v.relay.ExternalName != "" {
		return nil, true, errors.New("it is of type ExternalName, which leads out of the cluster: use " + v.relay.ExternalName)
	}
	backends, ok := v.backends(port, proto)
	if !ok {
		return nil, true, errors.New("the Service has no such port")
	}
	if len(backends) == 0 {
		return nil, true, errors.New("the Service has no ready endpoints")
	}
	return shuffled(backends), true, nil
}

// Port resolves a port of a Service by number, or by name when the number is 0.
func (p *program) Port(key relayproto.Key, number uint16, name string) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	svc := p.services[key]
	if svc == nil {
		return 0, fmt.Errorf("service %s does not exist in namespace %s", key.Name, key.Namespace)
	}
	for _, port := range svc.Spec.Ports {
		if number != 0 && port.Port == int32(number) || number == 0 && port.Name == name {
			return uint16(port.Port), nil
		}
	}
	if number != 0 {
		return 0, fmt.Errorf("service %s has no port %d", key.Name, number)
	}
	return 0, fmt.Errorf("service %s has no port named %q", key.Name, name)
}

// AppProtocol is what a Service says that a port of it speaks; "" for nothing.
func (p *program) AppProtocol(key relayproto.Key, port uint16) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if svc := p.services[key]; svc != nil {
		for _, sp := range svc.Spec.Ports {
			if sp.Port == int32(port) && sp.AppProtocol != nil {
				return *sp.AppProtocol
			}
		}
	}
	return ""
}

// backends are the endpoints of a Service's TCP port.
func (p *program) backends(key relayproto.Key, port uint16) []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.views[key]; v != nil {
		backends, _ := v.backends(port, relayproto.TCP)
		return backends
	}
	return nil
}

// pod is the name of the pod behind an endpoint of a Service.
func (p *program) pod(key relayproto.Key, addr netip.Addr) string {
	text := addr.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, slice := range p.slices[key] {
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" && slices.Contains(e.Addresses, text) {
				return e.TargetRef.Name
			}
		}
	}
	return ""
}

func (p *program) findLocked(host string) *view {
	if ip, err := netip.ParseAddr(host); err == nil {
		if !ServiceRange(p.network.cfg.Subnet).Contains(ip) {
			return nil
		}
		for _, v := range p.views {
			if slices.Contains(v.relay.ClusterIPs, ip) {
				return v
			}
		}
		return nil
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	name = strings.TrimSuffix(name, "."+p.network.cfg.ClusterDomain)
	svc, rest, _ := strings.Cut(name, ".")
	namespace, rest, _ := strings.Cut(rest, ".")
	if rest != "svc" {
		return nil
	}
	return p.views[relayproto.Key{Namespace: namespace, Name: svc}]
}

// forRelay is the Service as the relay shall serve it: a headless one forwards nothing.
func (v *view) forRelay(nodes int) relayproto.Service {
	s := v.relay
	if s.Headless || nodes < 2 {
		s.Ports = slices.Clone(s.Ports)
		for i := range s.Ports {
			s.Ports[i].Local = nil // all endpoints are on the only node
			if s.Headless {
				s.Ports[i].Backends = nil
			}
		}
	}
	return s
}

func compareKeys(a, b relayproto.Key) int {
	return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
}

// send tells the relay a step and waits until it is in force there.
func send(control net.Conn, u relayproto.Update) (relayproto.Ack, error) {
	var ack relayproto.Ack
	if err := relayproto.WriteFrame(control, u); err != nil {
		return ack, err
	}
	err := relayproto.ReadFrame(control, &ack)
	return ack, err
}
