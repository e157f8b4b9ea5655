// Package userspace forwards Services where the kernel has no nftables: the relay listens on every Service's address itself
// and copies. It is slower, and the only thing that works there.
package userspace

import (
	"context"
	"net"
	"net/netip"
	"time"

	"skiff.local/skiff/local/network/listen"
	"skiff.local/skiff/local/network/relayproto"
)

// A Forwarder listens for Services. It is not safe for concurrent use.
type Forwarder struct {
	node     netip.Addr
	reserved map[listen.Port]bool
	ports    *listen.Manager
	known    map[relayproto.Key]bool
}

// New returns a forwarder. Node ports answer on node; reserved ports belong to the relay itself.
func New(node netip.Addr, reserved []listen.Port) *Forwarder {
	f := &Forwarder{node: node, reserved: map[listen.Port]bool{}, known: map[relayproto.Key]bool{}}
	for _, p := range reserved {
		f.reserved[p] = true
	}
	f.ports = listen.New(listen.Config{
		Dial: func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addr.String())
		},
	})
	return f
}

// Apply makes the forwarder serve set and stop serving removed. With full, set is everything.
func (f *Forwarder) Apply(set []relayproto.Service, removed []relayproto.Key, full bool) error {
	named := map[relayproto.Key]bool{}
	for _, s := range set {
		named[s.Key] = true
		f.known[s.Key] = true
		f.ports.Set(owner(s.Key), f.portsOf(s))
	}
	if full {
		for key := range f.known {
			if !named[key] {
				removed = append(removed, key)
			}
		}
	}
	for _, key := range removed {
		delete(f.known, key)
		f.ports.Set(owner(key), nil)
	}
	return nil
}

// SetNodes does nothing: which pod a connection is from is not asked here.
func (f *Forwarder) SetNodes(map[string][]netip.Addr) error { return nil }

// portsOf lists what a Service has open. A port without endpoints is left closed: the kernel refuses connections to it.
func (f *Forwarder) portsOf(s relayproto.Service) map[listen.Port]listen.Target {
	ports := map[listen.Port]listen.Target{}
	for _, p := range s.Ports {
		if len(p.Backends) == 0 || p.Protocol == relayproto.SCTP {
			continue
		}
		target := listen.Target{Backends: p.Backends, Affinity: time.Duration(s.AffinitySeconds) * time.Second}
		add := func(addr netip.Addr, port uint16) {
			at := listen.Port{Addr: netip.AddrPortFrom(addr, port), Protocol: p.Protocol}
			if port != 0 && !f.reserved[at] {
				ports[at] = target
			}
		}
		for _, ip := range s.ClusterIPs {
			add(ip, p.Port)
		}
		add(f.node, p.NodePort)
	}
	return ports
}

// Close stops listening.
func (f *Forwarder) Close() { f.ports.Close() }

func owner(key relayproto.Key) listen.Owner {
	return listen.Owner{Kind: "Service", Namespace: key.Namespace, Name: key.Name}
}
