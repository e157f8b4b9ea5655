package runtimetest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"skiff.local/skiff/runtime/docker"
)

type fakeNetwork struct {
	id   string
	spec docker.NetworkSpec
	used map[netip.Addr]string // container id by address
	next netip.Addr
}

// builtin networks have no addresses that anyone could ask for, and can't be removed.
func (n *fakeNetwork) builtin() bool {
	return n.spec.Name == "bridge" || n.spec.Name == "host" || n.spec.Name == "none"
}

func (f *Fake) addNetwork(spec docker.NetworkSpec) *fakeNetwork {
	if spec.Driver == "" {
		spec.Driver = "bridge"
		if spec.Name == "host" {
			spec.Driver = "host"
		}
	}
	if spec.Driver == "bridge" && !spec.Subnet.IsValid() {
		spec.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(17 + len(f.networks)), 0, 0}), 16)
	}
	if spec.Subnet.IsValid() && !spec.Gateway.IsValid() {
		spec.Gateway = spec.Subnet.Addr().Next()
	}
	n := &fakeNetwork{id: newID(), spec: spec, used: map[netip.Addr]string{}}
	f.networks[n.id] = n
	return n
}

func (f *Fake) findNetwork(name string) *fakeNetwork {
	if n, ok := f.networks[name]; ok {
		return n
	}
	for _, n := range f.networks {
		if n.spec.Name == name {
			return n
		}
	}
	return nil
}

// allocate gives out addresses in order, as engines do, so that one is not reused right away.
func (n *fakeNetwork) allocate(want netip.Addr, containerID string) (netip.Addr, error) {
	if want.IsValid() {
		if !n.spec.Subnet.Contains(want) {
			return want, fmt.Errorf("no configured subnet contains IP address %s", want)
		}
		if _, taken := n.used[want]; taken || want == n.spec.Gateway {
			return want, fmt.Errorf("Address already in use")
		}
		n.used[want] = containerID
		return want, nil
	}
	from := n.spec.Subnet
	if n.spec.IPRange.IsValid() {
		from = n.spec.IPRange
	}
	if !n.next.IsValid() {
		n.next = from.Addr()
	}
	for range 1 << min(32-from.Bits(), 20) {
		a := n.next
		if n.next = a.Next(); !from.Contains(n.next) {
			n.next = from.Addr()
		}
		if _, taken := n.used[a]; taken || a == n.spec.Gateway || a == n.spec.Subnet.Addr() {
			continue
		}
		n.used[a] = containerID
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("no available IPv4 addresses on this network's address pools: %s", n.spec.Name)
}

// attachNetworks gives a starting container its addresses.
func (f *Fake) attachNetworks(c *fakeContainer) error {
	const op = "start container"
	wanted := map[string]docker.Endpoint{}
	maps.Copy(wanted, c.extra)
	if strings.HasPrefix(c.spec.Network, "container:") {
		return nil
	}
	network := c.spec.Network
	if network == "" || network == "default" {
		network = "bridge"
	}
	wanted[network] = c.spec.Endpoint
	for name, ep := range wanted {
		n := f.findNetwork(name)
		if n == nil {
			f.detachNetworks(c)
			return fail(docker.ErrNotFound, op, c.name, "network %s not found", name)
		}
		state := docker.EndpointState{NetworkID: n.id, Gateway: n.spec.Gateway, MAC: ep.MAC}
		if n.spec.Subnet.IsValid() {
			var err error
			if state.IPv4, err = n.allocate(ep.IPv4, c.id); err != nil {
				f.detachNetworks(c)
				return fail(docker.ErrForbidden, op, c.name, "%v", err)
			}
		}
		c.endpoints[n.spec.Name] = state
	}
	return nil
}

func (f *Fake) detachNetworks(c *fakeContainer) {
	for name, ep := range c.endpoints {
		if n := f.findNetwork(name); n != nil {
			delete(n.used, ep.IPv4)
		}
		c.endpoints[name] = docker.EndpointState{NetworkID: ep.NetworkID}
	}
}

// CreateNetwork implements Engine.
func (f *Fake) CreateNetwork(ctx context.Context, spec docker.NetworkSpec) (string, error) {
	const op = "create network"
	if err := f.begin(ctx, "CreateNetwork", spec.Name); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.findNetwork(spec.Name) != nil {
		return "", fail(docker.ErrConflict, op, spec.Name, "network with name %s already exists", spec.Name)
	}
	for _, n := range f.networks {
		if spec.Subnet.IsValid() && n.spec.Subnet.IsValid() && spec.Subnet.Overlaps(n.spec.Subnet) {
			return "", fail(docker.ErrForbidden, op, spec.Name, "Pool overlaps with other one on this address space")
		}
	}
	n := f.addNetwork(spec)
	f.events.emit(docker.Event{Type: "network", Action: "create", ID: n.id, Attributes: map[string]string{"name": spec.Name}})
	return n.id, nil
}

func (f *Fake) networkInfo(n *fakeNetwork) docker.Network {
	out := docker.Network{
		ID: n.id, Name: n.spec.Name, Driver: n.spec.Driver, Internal: n.spec.Internal, Options: n.spec.Options, Labels: maps.Clone(n.spec.Labels),
	}
	if n.spec.Subnet.IsValid() {
		out.Subnets, out.Gateways = []netip.Prefix{n.spec.Subnet}, []netip.Addr{n.spec.Gateway}
	}
	if n.spec.IPRange.IsValid() {
		out.IPRanges = []netip.Prefix{n.spec.IPRange}
	}
	return out
}

// ListNetworks implements Engine.
func (f *Fake) ListNetworks(ctx context.Context, labels map[string]string) ([]docker.Network, error) {
	if err := f.begin(ctx, "ListNetworks", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []docker.Network{}
	for _, n := range f.networks {
		if matches(n.spec.Labels, labels) {
			out = append(out, f.networkInfo(n))
		}
	}
	slices.SortFunc(out, func(a, b docker.Network) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// InspectNetwork implements Engine.
func (f *Fake) InspectNetwork(ctx context.Context, name string) (*docker.Network, error) {
	if err := f.begin(ctx, "InspectNetwork", name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.findNetwork(name)
	if n == nil {
		return nil, fail(docker.ErrNotFound, "inspect network", name, "network %s not found", name)
	}
	out := f.networkInfo(n)
	for addr, id := range n.used {
		if out.Containers == nil {
			out.Containers = map[string]netip.Addr{}
		}
		out.Containers[id] = addr
	}
	return &out, nil
}

// RemoveNetwork implements Engine.
func (f *Fake) RemoveNetwork(ctx context.Context, name string) error {
	const op = "remove network"
	if err := f.begin(ctx, "RemoveNetwork", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.findNetwork(name)
	switch {
	case n == nil:
		return fail(docker.ErrNotFound, op, name, "network %s not found", name)
	case n.builtin():
		return fail(docker.ErrForbidden, op, name, "%s is a pre-defined network and cannot be removed", name)
	case len(n.used) > 0:
		return fail(docker.ErrForbidden, op, name, "error while removing network: network %s has active endpoints", name)
	}
	delete(f.networks, n.id)
	f.events.emit(docker.Event{Type: "network", Action: "destroy", ID: n.id, Attributes: map[string]string{"name": n.spec.Name}})
	return nil
}

// ConnectNetwork implements Engine.
func (f *Fake) ConnectNetwork(ctx context.Context, name, containerID string, ep docker.Endpoint) error {
	const op = "connect to network"
	if err := f.begin(ctx, "ConnectNetwork", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.findNetwork(name)
	if n == nil {
		return fail(docker.ErrNotFound, op, name, "network %s not found", name)
	}
	c, err := f.find(op, containerID)
	if err != nil {
		return err
	}
	if _, connected := c.endpoints[n.spec.Name]; connected {
		return fail(docker.ErrForbidden, op, name, "endpoint with name %s already exists in network %s", c.name, name)
	}
	c.extra[n.spec.Name] = ep
	if c.state.Running {
		addr, err := n.allocate(ep.IPv4, c.id)
		if err != nil {
			return fail(docker.ErrForbidden, op, name, "%v", err)
		}
		c.endpoints[n.spec.Name] = docker.EndpointState{NetworkID: n.id, IPv4: addr, Gateway: n.spec.Gateway}
	}
	return nil
}

// DisconnectNetwork implements Engine.
func (f *Fake) DisconnectNetwork(ctx context.Context, name, containerID string, force bool) error {
	const op = "disconnect from network"
	if err := f.begin(ctx, "DisconnectNetwork", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.findNetwork(name)
	if n == nil {
		return fail(docker.ErrNotFound, op, name, "network %s not found", name)
	}
	c, err := f.find(op, containerID)
	if err != nil {
		if force {
			return nil
		}
		return err
	}
	ep, connected := c.endpoints[n.spec.Name]
	if !connected {
		return fail(docker.ErrForbidden, op, name, "container %s is not connected to network %s", c.id, name)
	}
	delete(n.used, ep.IPv4)
	delete(c.endpoints, n.spec.Name)
	delete(c.extra, n.spec.Name)
	return nil
}
