package runtimetest

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"skiff.local/skiff/runtime/docker"
)

func networks(t *testing.T, s *suite) {
	ctx := t.Context()
	name := UniqueName("net")
	spec := docker.NetworkSpec{
		Name: name, Subnet: netip.MustParsePrefix("10.213.0.0/16"), IPRange: netip.MustParsePrefix("10.213.0.0/17"),
		Gateway: netip.MustParseAddr("10.213.0.1"), Labels: s.labels(),
	}
	id, err := s.eng.CreateNetwork(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.eng.RemoveNetwork(context.WithoutCancel(ctx), name); err != nil {
			t.Error(err)
		}
	}()
	t.Run("it is found by name, id and labels", func(t *testing.T) {
		for _, ref := range []string{name, id} {
			n, err := s.eng.InspectNetwork(ctx, ref)
			if err != nil {
				t.Fatal(err)
			}
			if n.ID != id || n.Name != name || n.Driver != "bridge" || len(n.Containers) != 0 ||
				!slices.Equal(n.Subnets, []netip.Prefix{spec.Subnet}) || !slices.Equal(n.IPRanges, []netip.Prefix{spec.IPRange}) || !slices.Equal(n.Gateways, []netip.Addr{spec.Gateway}) {
				t.Errorf("by %s: %+v", ref, n)
			}
		}
		list, err := s.eng.ListNetworks(ctx, spec.Labels)
		if err != nil || len(list) != 1 || list[0].ID != id {
			t.Errorf("list %+v, %v", list, err)
		}
	})
	t.Run("neither its name nor its addresses are given twice", func(t *testing.T) {
		again := spec
		again.Subnet, again.IPRange, again.Gateway = netip.MustParsePrefix("10.214.0.0/16"), netip.Prefix{}, netip.Addr{}
		_, err := s.eng.CreateNetwork(ctx, again)
		wantError(t, "same name", err, docker.ErrConflict)
		again = spec
		again.Name = UniqueName("net")
		if _, err := s.eng.CreateNetwork(ctx, again); err == nil {
			t.Error("an overlapping subnet was accepted")
			_ = s.eng.RemoveNetwork(ctx, again.Name)
		}
	})
	t.Run("containers get addresses from its range, or the one they ask for", func(t *testing.T) {
		fixed := netip.MustParseAddr("10.213.127.254")
		c := s.spec("sleep")
		c.Network = name
		first, second := s.start(t, c), ""
		c.Name, c.Endpoint = UniqueName("c"), docker.Endpoint{IPv4: fixed, MAC: "02:42:0a:d5:7f:01"}
		second = s.start(t, c)
		if err := s.eng.StopContainer(ctx, second, docker.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.eng.StartContainer(ctx, second); err != nil {
			t.Fatal(err)
		}
		if got := s.inspect(t, second).Networks[name].MAC; got != c.Endpoint.MAC {
			t.Errorf("second: hardware address %s, want %s", got, c.Endpoint.MAC)
		}
		if ip := s.inspect(t, first).IP(name); !spec.IPRange.Contains(ip) || ip == spec.Gateway {
			t.Errorf("first: %v", ip)
		}
		if ip := s.inspect(t, second).IP(""); ip != fixed {
			t.Errorf("second: %v, want %v", ip, fixed)
		}
		n, err := s.eng.InspectNetwork(ctx, name)
		if err != nil || len(n.Containers) != 2 || n.Containers[second] != fixed {
			t.Errorf("the network knows %v, %v", n, err)
		}
		list, err := s.eng.ListContainers(ctx, docker.ListOptions{Labels: c.Labels})
		if err != nil || len(list) != 2 || !slices.ContainsFunc(list, func(l docker.ContainerSummary) bool { return l.IP(name) == fixed }) {
			t.Errorf("list %+v, %v", list, err)
		}
		c.Name = UniqueName("c")
		if err := s.eng.StartContainer(ctx, s.create(t, c)); err == nil {
			t.Error("an address was given twice")
		}
		if err := s.eng.RemoveNetwork(ctx, name); err == nil {
			t.Error("a network in use was removed")
		}
		joined := s.spec("sleep")
		joined.Network = docker.ContainerMode(first)
		if got := s.inspect(t, s.start(t, joined)); got.IP(name).IsValid() {
			t.Errorf("a joined container has an address of its own: %v", got.Networks)
		}
	})
	t.Run("a network that doesn't exist fails the start", func(t *testing.T) {
		c := s.spec("sleep")
		c.Network = "t-no-such-network"
		wantError(t, "start", s.eng.StartContainer(ctx, s.create(t, c)), docker.ErrNotFound)
	})
	t.Run("joining a container needs it to run", func(t *testing.T) {
		owner := s.create(t, s.spec("sleep"))
		c := s.spec("sleep")
		c.Network = docker.ContainerMode(owner)
		joined := s.create(t, c)
		wantError(t, "start", s.eng.StartContainer(ctx, joined), docker.ErrConflict)
		if err := s.eng.StartContainer(ctx, owner); err != nil {
			t.Fatal(err)
		}
		if err := s.eng.StartContainer(ctx, joined); err != nil {
			t.Error(err)
		}
	})
	t.Run("missing networks are not found", func(t *testing.T) {
		_, err := s.eng.InspectNetwork(ctx, "t-no-such-network")
		wantError(t, "inspect", err, docker.ErrNotFound)
		wantError(t, "remove", s.eng.RemoveNetwork(ctx, "t-no-such-network"), docker.ErrNotFound)
	})
	t.Run("a running container joins and leaves", func(t *testing.T) {
		c := s.spec("sleep")
		c.Network = "bridge"
		id := s.start(t, c)
		if err := s.eng.ConnectNetwork(ctx, name, id, docker.Endpoint{}); err != nil {
			t.Fatal(err)
		}
		if ip := s.inspect(t, id).IP(name); !spec.IPRange.Contains(ip) {
			t.Errorf("address %v", ip)
		}
		if err := s.eng.DisconnectNetwork(ctx, name, id, false); err != nil {
			t.Fatal(err)
		}
		if ip := s.inspect(t, id).IP(name); ip.IsValid() {
			t.Errorf("it still has %v", ip)
		}
	})
}
