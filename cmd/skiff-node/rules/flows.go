//go:build linux

package rules

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff.local/skiff/local/network/relayproto"
)

// staleFlows matches what the kernel remembers of flows that go where they may not go any more, by front: where its flows
// may go. All of UDP's: it has no end of connection, and a client that keeps sending would stay with an endpoint that has
// gone, or with none, for minutes. Of TCP's only attempts that nobody has answered yet: a SYN that was lost is sent again a
// second later, and must not go to an endpoint that was told to stop meanwhile.
type staleFlows map[front][]netip.AddrPort

// synSent is TCP_CONNTRACK_SYN_SENT.
const synSent = 1

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	proto := relayproto.Protocol(flow.Forward.Protocol)
	if proto == relayproto.TCP {
		if info, ok := flow.ProtoInfo.(*netlink.ProtoInfoTCP); !ok || info.State != synSent {
			return false
		}
	}
	to, ok := netip.AddrFromSlice(flow.Forward.DstIP)
	if !ok {
		return false
	}
	allowed, ours := s[front{to.Unmap(), proto, flow.Forward.DstPort}]
	if !ours {
		return false
	}
	backend, ok := netip.AddrFromSlice(flow.Reverse.SrcIP)
	return !ok || !slices.Contains(allowed, netip.AddrPortFrom(backend.Unmap(), flow.Reverse.SrcPort))
}

// forgetStale removes the flows of changed ports that lead elsewhere than they should now.
func forgetStale(changes []*change, reserved map[front]bool) error {
	stale := staleFlows{}
	for _, c := range changes {
		for f := range c.left {
			stale[f] = c.now.targets[c.now.fronts[f]].backends
		}
		for f, chain := range c.now.fronts {
			if f.proto == relayproto.UDP && !reserved[f] {
				stale[f] = c.now.targets[chain].backends
			}
		}
	}
	if len(stale) == 0 {
		return nil
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, stale); err != nil {
		return fmt.Errorf("forget old flows: %w", err)
	}
	return nil
}
