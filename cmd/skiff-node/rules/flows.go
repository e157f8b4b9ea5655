//go:build linux

package rules

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff.local/skiff/local/network/relayproto"
)

// staleFlows matches what the kernel remembers of flows that go where they may not go any more, by front: where its flows
// may go. All of UDP's: it has no end of connection, and a client that keeps sending would stay with an endpoint that has
// gone, or with none, for minutes. Of TCP's only attempts that nobody has answered: a SYN that was lost is sent again a
// second later, and must not go to an endpoint that was told to stop meanwhile.
type staleFlows map[front][]netip.AddrPort

// answered is how long attempts on their way to an endpoint that leaves may take to be answered. What is still unanswered
// then is forgotten, before the endpoint is told to stop (100 ms). Not at once: the kernel lists its flows first and
// removes them after, and a connection that was made in between would be cut off. Chosen.
const answered = 60 * time.Millisecond

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
func (t *Table) forgetStale(changes []*change) error {
	packets, attempts := staleFlows{}, staleFlows{}
	for _, c := range changes {
		for f := range c.left {
			if stale := c.now.targets[c.now.fronts[f]].backends; f.proto == relayproto.TCP {
				attempts[f] = stale
			} else {
				packets[f] = stale
			}
		}
		for f, chain := range c.now.fronts {
			if f.proto == relayproto.UDP && !t.reserved[f] {
				packets[f] = c.now.targets[chain].backends
			}
		}
	}
	t.forgetLater(attempts)
	return forget(packets)
}

// forgetLater forgets attempts when they had time to be answered; those of several changes together.
func (t *Table) forgetLater(attempts staleFlows) {
	if len(attempts) == 0 {
		return
	}
	t.attemptsMu.Lock()
	defer t.attemptsMu.Unlock()
	if t.attempts != nil {
		maps.Copy(t.attempts, attempts)
		return
	}
	t.attempts = attempts
	time.AfterFunc(answered, func() {
		t.attemptsMu.Lock()
		stale := t.attempts
		t.attempts = nil
		t.attemptsMu.Unlock()
		if err := forget(stale); err != nil {
			t.log.Warn("attempts to reach endpoints that left may be sent to them again", "err", err)
		}
	})
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
