package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network/relayproto"
)

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
	if speaks := p.port(key, port).AppProtocol; speaks != nil {
		return *speaks
	}
	return ""
}

// PortName is the name of a Service's port; "" when it has none.
func (p *program) PortName(key relayproto.Key, port uint16) string {
	return p.port(key, port).Name
}

// port is a Service's port as it is written; an empty one when it has none of that number.
func (p *program) port(key relayproto.Key, number uint16) corev1.ServicePort {
	p.mu.Lock()
	defer p.mu.Unlock()
	if svc := p.services[key]; svc != nil {
		for _, sp := range svc.Spec.Ports {
			if sp.Port == int32(number) {
				return sp
			}
		}
	}
	return corev1.ServicePort{}
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
