package dns

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"skiff.local/skiff/local/network/relayproto"
)

// A Zone is what the cluster's names mean now. It is safe for concurrent use.
type Zone struct {
	mu         sync.RWMutex
	services   map[relayproto.Key]relayproto.Service
	namespaces map[string]bool
	pointers   map[netip.Addr]map[relayproto.Key][]string // names behind addresses, relative to svc.<domain>
	stubs      map[string][]netip.AddrPort
	hosts      map[string][]netip.Addr
	synced     bool
}

// NewZone returns a zone that knows nothing: until the first Apply every name in it fails for the moment.
func NewZone() *Zone {
	return &Zone{
		services: map[relayproto.Key]relayproto.Service{}, namespaces: map[string]bool{},
		pointers: map[netip.Addr]map[relayproto.Key][]string{},
	}
}

// Apply brings the zone up to date.
func (z *Zone) Apply(u relayproto.Update) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if u.Full {
		clear(z.services)
		clear(z.pointers)
	}
	for _, key := range u.Removed {
		z.removeLocked(key)
	}
	for _, s := range u.Services {
		z.removeLocked(s.Key)
		if !s.NoDNS {
			z.addLocked(s)
		}
	}
	if u.Namespaces != nil {
		z.namespaces = map[string]bool{}
		for _, ns := range u.Namespaces {
			z.namespaces[ns] = true
		}
	}
	if u.Stubs != nil {
		z.stubs = map[string][]netip.AddrPort{}
		for suffix, servers := range u.Stubs {
			z.stubs[strings.ToLower(strings.Trim(suffix, "."))] = servers
		}
	}
	if u.Hosts != nil {
		z.hosts = u.Hosts
	}
	z.synced = true
}

func (z *Zone) addLocked(s relayproto.Service) {
	z.services[s.Key] = s
	base := s.Name + "." + s.Namespace
	for _, ip := range s.ClusterIPs {
		z.pointLocked(ip, s.Key, base)
	}
	if s.Headless {
		for _, e := range s.Endpoints {
			z.pointLocked(e.Addr, s.Key, endpointLabel(e)+"."+base)
		}
	}
}

func (z *Zone) pointLocked(ip netip.Addr, key relayproto.Key, name string) {
	names := z.pointers[ip]
	if names == nil {
		names = map[relayproto.Key][]string{}
		z.pointers[ip] = names
	}
	if !slices.Contains(names[key], name) {
		names[key] = append(names[key], name)
	}
}

func (z *Zone) removeLocked(key relayproto.Key) {
	old, ok := z.services[key]
	if !ok {
		return
	}
	delete(z.services, key)
	forget := func(ip netip.Addr) {
		delete(z.pointers[ip], key)
		if len(z.pointers[ip]) == 0 {
			delete(z.pointers, ip)
		}
	}
	for _, ip := range old.ClusterIPs {
		forget(ip)
	}
	for _, e := range old.Endpoints {
		forget(e.Addr)
	}
}

func (z *Zone) ready() bool {
	z.mu.RLock()
	defer z.mu.RUnlock()
	return z.synced
}

func (z *Zone) service(namespace, name string) (relayproto.Service, bool) {
	z.mu.RLock()
	defer z.mu.RUnlock()
	s, ok := z.services[relayproto.Key{Namespace: namespace, Name: name}]
	return s, ok
}

func (z *Zone) namespace(name string) bool {
	z.mu.RLock()
	defer z.mu.RUnlock()
	return z.namespaces[name]
}

// names returns what an address is called, in a stable order.
func (z *Zone) names(ip netip.Addr) []string {
	z.mu.RLock()
	defer z.mu.RUnlock()
	var all []string
	for _, names := range z.pointers[ip] {
		all = append(all, names...)
	}
	slices.Sort(all)
	return all
}

// host returns the fixed addresses of a name.
func (z *Zone) host(name string) []netip.Addr {
	z.mu.RLock()
	defer z.mu.RUnlock()
	return z.hosts[name]
}

// stub returns the servers of the longest stub domain that name lies in; the root's has an empty name here.
func (z *Zone) stub(name string) []netip.AddrPort {
	z.mu.RLock()
	defer z.mu.RUnlock()
	for suffix := name; suffix != ""; {
		if servers, ok := z.stubs[suffix]; ok {
			return servers
		}
		_, suffix, _ = strings.Cut(suffix, ".")
	}
	return z.stubs[""]
}

// endpointLabel is an endpoint's own label: its hostname, or its address with dashes, as CoreDNS has it.
func endpointLabel(e relayproto.Endpoint) string {
	if e.Hostname != "" {
		return e.Hostname
	}
	return strings.ReplaceAll(e.Addr.String(), ".", "-")
}
