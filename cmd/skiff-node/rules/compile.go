package rules

import (
	"encoding/hex"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"skiff.local/skiff/local/network/relayproto"
)

// A front is what a client connects to.
type front struct {
	addr  netip.Addr
	proto relayproto.Protocol
	port  uint16
}

// A target is where the connections of one Service port go.
type target struct {
	chain    string
	backends []netip.AddrPort            // sorted
	local    map[string][]netip.AddrPort // by node, for its pods; nil for the same everywhere
	affinity int                         // seconds, 0 for none
}

func (t target) equal(o target) bool {
	return t.chain == o.chain && t.affinity == o.affinity && slices.Equal(t.backends, o.backends) &&
		(t.local == nil) == (o.local == nil) && maps.EqualFunc(t.local, o.local, slices.Equal[[]netip.AddrPort])
}

// A compiled Service is what it contributes to the table.
type compiled struct {
	targets map[string]target // by chain
	fronts  map[front]string  // chain
}

// closed is a port of the relay that nobody listens on.
const closed = 1

// compile turns a Service into fronts and targets. node is the address that node ports answer on; reserved fronts
// belong to the relay itself and are left out.
func compile(s relayproto.Service, node netip.Addr, reserved map[front]bool) compiled {
	c := compiled{targets: map[string]target{}, fronts: map[front]string{}}
	for _, p := range s.Ports {
		backends := p.Backends
		if len(backends) == 0 {
			if len(s.ExternalIPs) == 0 {
				continue
			}
			// The relay has ClusterIPs, and refuses by itself; an address outside would be asked there.
			backends = []netip.AddrPort{netip.AddrPortFrom(node, closed)}
		}
		t := target{chain: chainName(s.Key, p), backends: slices.Clone(backends), affinity: s.AffinitySeconds}
		slices.SortFunc(t.backends, netip.AddrPort.Compare)
		t.backends = slices.Compact(t.backends)
		if p.Local != nil {
			// Which endpoint of a node a client had is not remembered: most have one there.
			t.local, t.affinity = p.Local, 0
		}
		add := func(f front) {
			if f.addr.Is4() && f.port != 0 && !reserved[f] {
				c.fronts[f] = t.chain
				c.targets[t.chain] = t
			}
		}
		for _, ip := range s.ExternalIPs {
			add(front{ip, p.Protocol, p.Port})
		}
		if len(p.Backends) == 0 {
			continue
		}
		for _, ip := range s.ClusterIPs {
			add(front{ip, p.Protocol, p.Port})
		}
		if p.NodePort != 0 {
			add(front{node, p.Protocol, p.NodePort})
		}
	}
	return c
}

// chainName is readable in a listing and unique; the kernel allows 127 bytes.
func chainName(k relayproto.Key, p relayproto.Port) string {
	full := k.Namespace + "/" + k.Name + "/" + p.Protocol.String() + "/" + strconv.Itoa(int(p.Port))
	sum := fnv.New64a()
	sum.Write([]byte(full))
	sum.Write([]byte("/" + p.Name))
	return ("s-" + hex.EncodeToString(sum.Sum(nil)) + "-" + full)[:min(100, 19+len(full))]
}

// affinitySet is the name of the set of clients that stick to one endpoint of a chain.
func affinitySet(chain string, to netip.AddrPort) string {
	sum := fnv.New64a()
	sum.Write([]byte(chain + ">" + to.String()))
	return "a-" + hex.EncodeToString(sum.Sum(nil))
}

// A change is what must happen to one Service's part of the table.
type change struct {
	key        relayproto.Key
	now        compiled
	set        []target           // chains to write
	drop       []target           // chains to remove
	addFronts  map[front]string   // elements to add or point elsewhere
	dropFronts map[front]struct{} // elements to remove
	left       map[front]struct{} // fronts that an endpoint has left, gone ones included
}

func (c *change) empty() bool {
	return len(c.set)+len(c.drop)+len(c.addFronts)+len(c.dropFronts) == 0
}

// planChange compares a Service's part of the table with what it should be.
func planChange(key relayproto.Key, old, now compiled) *change {
	c := &change{key: key, now: now, addFronts: map[front]string{}, dropFronts: map[front]struct{}{}, left: map[front]struct{}{}}
	for _, name := range slices.Sorted(maps.Keys(now.targets)) {
		if t := now.targets[name]; !t.equal(old.targets[name]) {
			c.set = append(c.set, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old.targets)) {
		if _, stays := now.targets[name]; !stays {
			c.drop = append(c.drop, old.targets[name])
		}
	}
	for f, chain := range now.fronts {
		if old.fronts[f] != chain {
			c.addFronts[f] = chain
		}
	}
	for f, chain := range old.fronts {
		if _, stays := now.fronts[f]; !stays {
			c.dropFronts[f] = struct{}{}
		}
		stays := now.targets[now.fronts[f]].backends
		if slices.ContainsFunc(old.targets[chain].backends, func(b netip.AddrPort) bool { return !slices.Contains(stays, b) }) {
			c.left[f] = struct{}{}
		}
	}
	return c
}
