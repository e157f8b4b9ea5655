package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"skiff.local/skiff/runtime/docker"
)

// candidates are the subnets that ChooseSubnet tries in order. 10.244 is what most clusters use for pods; the others
// avoid the beginnings of 10/8 and 172.16/12, where offices, VPNs and the engine itself have their networks.
func candidates() []netip.Prefix {
	var all []netip.Prefix
	add := func(a, b byte) {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, 0, 0}), 16))
	}
	add(10, 244)
	for b := byte(245); b != 0; b++ {
		add(10, b)
	}
	for b := byte(243); b >= 200; b-- {
		add(10, b)
	}
	for b := byte(199); b >= 16; b-- {
		add(10, b)
	}
	for b := byte(31); b >= 16; b-- {
		add(172, b)
	}
	return all
}

// NetworkLister is what ChooseSubnet needs of an engine.
type NetworkLister interface {
	ListNetworks(ctx context.Context, labels map[string]string) ([]docker.Network, error)
}

// ChooseSubnet picks a private /16 that overlaps neither a route of this host (VPNs included) nor a network of the engine,
// nor what to avoid.
func ChooseSubnet(ctx context.Context, eng NetworkLister, avoid ...netip.Prefix) (netip.Prefix, error) {
	taken, err := takenSubnets(ctx, eng)
	if err != nil {
		return netip.Prefix{}, err
	}
	return choose(append(taken, avoid...))
}

func takenSubnets(ctx context.Context, eng NetworkLister) ([]netip.Prefix, error) {
	networks, err := eng.ListNetworks(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("choose a subnet: %w", err)
	}
	var taken []netip.Prefix
	for _, n := range networks {
		taken = append(taken, n.Subnets...)
	}
	// A route table that can't be read is no reason not to start: the interfaces are a good second best.
	routes, err := hostRoutes()
	if err != nil {
		routes = interfacePrefixes()
	}
	return append(taken, routes...), nil
}

func choose(taken []netip.Prefix) (netip.Prefix, error) {
	for _, c := range candidates() {
		if !slices.ContainsFunc(taken, c.Overlaps) {
			return c, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("choose a subnet: every private /16 of 10.0.0.0/8 and 172.16.0.0/12 overlaps a route or a network of the engine; choose one with --subnet")
}

// interfacePrefixes are the networks that this host is directly connected to.
func interfacePrefixes() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var found []netip.Prefix
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if p, err := netip.ParsePrefix(n.String()); err == nil && p.Addr().Is4() {
				found = append(found, p.Masked())
			}
		}
	}
	return found
}

// Clash returns what on this host overlaps a subnet that is already in use by the engine's network of that name, such
// as a VPN that came up later; invalid when nothing does.
func Clash(subnet netip.Prefix) netip.Prefix {
	routes, err := hostRoutes()
	if err != nil {
		return netip.Prefix{}
	}
	for _, r := range routes {
		// The engine's own route to the network is the subnet itself.
		if r.Overlaps(subnet) && r != subnet.Masked() {
			return r
		}
	}
	return netip.Prefix{}
}

// SubnetTakenError says that a network of the engine has come to overlap the cluster's subnet.
type SubnetTakenError struct {
	Subnet  netip.Prefix
	Network string // of the engine
}

func (e *SubnetTakenError) Error() string {
	return fmt.Sprintf("the cluster's subnet %s overlaps the engine's network %q", e.Subnet, e.Network)
}

// Hint is the next step: a cluster can't leave its subnet, because its Services have their addresses in it.
func (e *SubnetTakenError) Hint() string {
	return fmt.Sprintf("remove that network (docker network rm %s), or run `skiff delete` and start anew in a free subnet", e.Network)
}

// takenBy finds the network of the engine that overlaps the subnet; nil when none does.
func takenBy(ctx context.Context, eng NetworkLister, subnet netip.Prefix) error {
	networks, err := eng.ListNetworks(ctx, nil)
	if err != nil {
		return nil // the caller has an error of its own
	}
	for _, n := range networks {
		if slices.ContainsFunc(n.Subnets, subnet.Overlaps) {
			return &SubnetTakenError{Subnet: subnet, Network: n.Name}
		}
	}
	return nil
}
