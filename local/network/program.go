package network

import (
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
		return hostPorts(pod, p.network.cfg.Subnet)
	}
	return nil
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

// forRelay is the Service as the relay shall serve it: a headless one forwards nothing.
func (v *view) forRelay(nodes int) relayproto.Service {
	s := v.relay
	if s.NoDNS { // a pod's host ports
		s.Ports = nil
		for _, p := range v.relay.Ports {
			if v.atNode(p) {
				s.Ports = append(s.Ports, p)
			}
		}
	}
	if s.Headless || nodes < 2 {
		s.Ports = slices.Clone(s.Ports)
		for i := range s.Ports {
			s.Ports[i].Local = nil // all endpoints are on the only node
			if s.Headless {
				s.Ports[i].Backends = nil
			}
		}
	}
	s.Ports = append(slices.Clip(s.Ports), v.health...)
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
