//go:build linux

package policy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"skiff.local/skiff/local/network/relayproto"
)

const podTable = "skiff-policy"

// Serve enforces the PodGuards that arrive on r, one after the other, in the network namespace that it runs in, and
// answers each with an Ack. It ends with r; the last guard stays in force. Its generations count from 1.
func Serve(r io.Reader, w io.Writer) error {
	for n := uint64(1); ; n++ {
		var g relayproto.PodGuard
		if err := relayproto.ReadFrame(r, &g); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		ack := relayproto.Ack{Generation: n}
		if err := errors.Join(guard(g), route(g.Via, g.Routed)); err != nil {
			ack.Error = err.Error()
		}
		if err := relayproto.WriteFrame(w, ack); err != nil {
			return err
		}
	}
}

// guard replaces the pod's table in one transaction: there is no moment without rules.
func guard(g relayproto.PodGuard) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Name: podTable, Family: nftables.TableFamilyIPv4}
	conn.AddTable(table)
	conn.DelTable(table)
	if g.Policy.Ingress != nil || g.Policy.Egress != nil {
		w := writer{conn, conn.AddTable(table)}
		if err := w.pod(g); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: enforce policies: %w", err)
	}
	return nil
}

func (w writer) pod(g relayproto.PodGuard) error {
	if i := g.Policy.Ingress; i != nil {
		c := w.hook("input", nftables.ChainHookInput)
		w.rule(c, loopback(expr.MetaKeyIIFNAME), verdict(expr.VerdictAccept))
		w.rule(c, established(), verdict(expr.VerdictAccept))
		for _, addr := range g.Node {
			w.rule(c, within(source, netip.PrefixFrom(addr, 32)), verdict(expr.VerdictAccept))
		}
		if err := w.isolate(c, i, source); err != nil {
			return err
		}
	}
	if i := g.Policy.Egress; i != nil {
		c := w.hook("output", nftables.ChainHookOutput)
		w.rule(c, loopback(expr.MetaKeyOIFNAME), verdict(expr.VerdictAccept))
		w.rule(c, established(), verdict(expr.VerdictAccept))
		for _, p := range g.Relayed {
			w.rule(c, within(destination, p), verdict(expr.VerdictAccept))
		}
		return w.isolate(c, i, destination)
	}
	return nil
}
