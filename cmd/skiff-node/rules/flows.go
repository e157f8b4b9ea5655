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

// staleFlows matches what the kernel remembers of flows that go where they may not go any more. Of UDP's, all: it has no end
// of connection, and a client that keeps sending would stay with an endpoint that has gone, or with none, for minutes. Of
// TCP's, attempts that nobody has answered, since a SYN that was lost is sent again a second later, and connections that an
// endpoint has reset: the kernel sends a new one from the same port the same way for ten seconds, where an endpoint's
// address is nobody's by then, or somebody else's.
type staleFlows map[front][]netip.AddrPort // where the flows of each front may go

// The states of TCP connections that matter here (enum tcp_conntrack of the kernel).
const (
	synSent  = 1
	wasReset = 8
)

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	proto := relayproto.Protocol(flow.Forward.Protocol)
	if proto == relayproto.TCP {
		if info, ok := flow.ProtoInfo.(*netlink.ProtoInfoTCP); !ok || info.State != synSent && info.State != wasReset {
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

// forgetStale removes the flows of changed ports that lead elsewhere than they should now: UDP's at once, and TCP's by and by.
func (t *Table) forgetStale(changes []*change) error {
	packets := staleFlows{}
	for _, c := range changes {
		for f := range c.left {
			if f.proto == relayproto.UDP {
				packets[f] = c.now.targets[c.now.fronts[f]].backends
			}
		}
		for f, chain := range c.now.fronts {
			if f.proto == relayproto.UDP && !t.reserved[f] {
				packets[f] = c.now.targets[chain].backends
			}
		}
	}
	t.departed.note(changes)
	return forget(packets)
}

func forget(stale staleFlows) error {
	if len(stale) == 0 {
		return nil
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, stale); err != nil {
		return fmt.Errorf("forget old flows: %w", err)
	}
	return nil
}
