//go:build linux

package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes that are ours; chosen among the numbers that nobody has (rtnetlink(7)).
const routeProtocol = 0x5c

// route makes packets to wanted go by way of via, and only those.
func route(via netip.Addr, wanted []netip.Addr) error {
	if !via.IsValid() {
		return nil
	}
	ours := &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}
	have, err := netlink.RouteListFiltered(netlink.FAMILY_V4, ours, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for i := range have {
		if to, ok := netip.AddrFromSlice(have[i].Dst.IP); ok && slices.Contains(wanted, to.Unmap()) {
			continue
		}
		if err := netlink.RouteDel(&have[i]); err != nil {
			return fmt.Errorf("remove the route to %s: %w", have[i].Dst, err)
		}
	}
	for _, to := range wanted {
		r := &netlink.Route{Protocol: routeProtocol, Gw: via.AsSlice(), Dst: netlink.NewIPNet(to.AsSlice())}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("route %s by way of %s: %w", to, via, err)
		}
	}
	return nil
}
