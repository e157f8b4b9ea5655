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

// staleFlows matches the kernel's memory of UDP flows that go where they may not go any more. UDP has no end of
// connection: a client that keeps sending would stay with an endpoint that has gone, or with none, for minutes.
type staleFlows map[front][]netip.AddrPort // by front: where its flows may go

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	to, ok := netip.AddrFromSlice(flow.Forward.DstIP)
	if !ok {
		return false
	}
	allowed, ours := s[front{to.Unmap(), relayproto.UDP, flow.Forward.DstPort}]
	if !ours {
		return false
	}
	backend, ok := netip.AddrFromSlice(flow.Reverse.SrcIP)
	return !ok || !slices.Contains(allowed, netip.AddrPortFrom(backend.Unmap(), flow.Reverse.SrcPort))
}

// forgetStale removes the flows of changed UDP ports that lead elsewhere than they should now.
func forgetStale(changes []*change, reserved map[front]bool) error {
	stale := staleFlows{}
	for _, c := range changes {
		for f := range c.dropFronts {
			if f.proto == relayproto.UDP {
				stale[f] = nil
			}
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
		return fmt.Errorf("forget old UDP flows: %w", err)
	}
	return nil
}
