package rules

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"skiff.local/skiff/local/network/relayproto"
)

var node = netip.MustParseAddr("10.244.127.254")

func service(name string, affinity int, backends ...string) relayproto.Service {
	s := relayproto.Service{
		Key: relayproto.Key{Namespace: "default", Name: name}, AffinitySeconds: affinity,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.244.128.20")},
		Ports:      []relayproto.Port{{Protocol: relayproto.TCP, Port: 80, NodePort: 30080}},
	}
	for _, b := range backends {
		s.Ports[0].Backends = append(s.Ports[0].Backends, netip.MustParseAddrPort(b))
	}
	return s
}

func TestAPortWithoutEndpointsHasNoEntry(t *testing.T) {
	c := compile(service("web", 0), node, nil)
	if len(c.fronts)+len(c.targets) != 0 {
		t.Errorf("compiled to %+v", c)
	}
}

func TestAnExternalAddressWithoutEndpointsIsRefusedHereAndNotAskedThere(t *testing.T) {
	s := service("web", 0)
	s.ExternalIPs = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
	c := compile(s, node, nil)
	chain, ok := c.fronts[front{s.ExternalIPs[0], relayproto.TCP, 80}]
	if len(c.fronts) != 1 || !ok || !slices.Equal(c.targets[chain].backends, []netip.AddrPort{netip.AddrPortFrom(node, closed)}) {
		t.Errorf("compiled to %+v", c)
	}
}

func TestClusterIPAndNodePortShareOneChain(t *testing.T) {
	c := compile(service("web", 0, "10.244.0.2:8080", "10.244.0.2:8080"), node, nil)
	if len(c.fronts) != 2 || len(c.targets) != 1 {
		t.Fatalf("compiled to %+v", c)
	}
	for _, target := range c.targets {
		if len(target.backends) != 1 {
			t.Errorf("an endpoint that is named twice counts twice: %v", target.backends)
		}
	}
}

func TestTheRelaysOwnPortsAreNotForwarded(t *testing.T) {
	s := service("thief", 0, "10.244.0.2:53")
	s.ClusterIPs, s.Ports[0].Port = []netip.Addr{node}, 53
	reserved := map[front]bool{{node, relayproto.TCP, 53}: true}
	if c := compile(s, node, reserved); len(c.fronts) != 1 {
		t.Errorf("fronts = %v, want the node port alone", c.fronts)
	}
}

func TestChainNamesAreUniqueAndFitTheKernel(t *testing.T) {
	long := strings.Repeat("n", 63)
	seen := map[string]bool{}
	for _, name := range []string{"a", "a-b", long, long + "x"} {
		for _, proto := range []relayproto.Protocol{relayproto.TCP, relayproto.UDP} {
			n := chainName(relayproto.Key{Namespace: long, Name: name}, relayproto.Port{Protocol: proto, Port: 80})
			if seen[n] || len(n) > 127 {
				t.Errorf("chain name %q (%d bytes) repeats or is too long", n, len(n))
			}
			seen[n] = true
		}
	}
}

// A second plan of the same state is empty, and a plan leads from any state to any other.
func TestPlansLeadWhereTheyShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) compiled {
			s := service("web", rapid.SampledFrom([]int{0, 10}).Draw(t, label+" affinity"))
			pool := []string{"10.244.0.2:80", "10.244.0.3:80", "10.244.0.4:80"}
			for _, b := range rapid.SliceOfDistinct(rapid.SampledFrom(pool), func(s string) string { return s }).Draw(t, label) {
				s.Ports[0].Backends = append(s.Ports[0].Backends, netip.MustParseAddrPort(b))
			}
			return compile(s, node, nil)
		}
		old, now := draw("old"), draw("now")
		key := relayproto.Key{Namespace: "default", Name: "web"}
		if c := planChange(key, old, old); !c.empty() {
			t.Fatalf("a plan without a change is %+v", c)
		}
		c := planChange(key, old, now)
		fronts := map[front]string{}
		for f, chain := range old.fronts {
			fronts[f] = chain
		}
		for f := range c.dropFronts {
			delete(fronts, f)
		}
		for f, chain := range c.addFronts {
			fronts[f] = chain
		}
		if len(fronts) != len(now.fronts) {
			t.Fatalf("fronts %v, want %v", fronts, now.fronts)
		}
		for f, chain := range old.fronts {
			stay := now.targets[now.fronts[f]].backends
			gone := slices.DeleteFunc(slices.Clone(old.targets[chain].backends), func(b netip.AddrPort) bool { return slices.Contains(stay, b) })
			if _, left := c.left[f]; left != (len(gone) > 0) {
				t.Fatalf("front %v: left is %v, gone are %v", f, left, gone)
			}
		}
		for f, chain := range now.fronts {
			if fronts[f] != chain {
				t.Fatalf("front %v goes to %q, want %q", f, fronts[f], chain)
			}
		}
	})
}
