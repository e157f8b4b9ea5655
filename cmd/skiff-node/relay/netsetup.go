//go:build linux

package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// own makes every address of the prefix local to this container (`ip route add local P dev lo`), so that it answers
// ARP for them and the kernel takes their packets.
func own(prefix netip.Prefix) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	route := &netlink.Route{
		LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL,
		Scope: unix.RT_SCOPE_HOST, Protocol: unix.RTPROT_STATIC, Dst: netlink.NewIPNet(prefix.Addr().AsSlice()),
	}
	route.Dst.Mask = maskOf(prefix)
	err = netlink.RouteAdd(route)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("take over %s: %w", prefix, err)
	}
	return nil
}

func maskOf(p netip.Prefix) []byte {
	mask := make([]byte, 4)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
}
