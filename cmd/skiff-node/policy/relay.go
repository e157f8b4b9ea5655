//go:build linux

package policy

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"skiff.local/skiff/local/network/relayproto"
)

const relayTable = "skiff-policy"

// Relay replaces what the relay enforces for connections that it carries or takes itself. Without isolated pods there is
// no table at all, and nothing to look at per packet.
func Relay(pods []relayproto.PodPolicy) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Name: relayTable, Family: nftables.TableFamilyIPv4}
	conn.AddTable(table)
	conn.DelTable(table)
	if len(pods) > 0 {
		w := writer{conn, conn.AddTable(table)}
		if err := w.relay(pods); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: enforce policies for %d pods: %w", len(pods), err)
	}
	return nil
}

func (w writer) relay(pods []relayproto.PodPolicy) error {
	var in, out []nftables.SetElement
	for _, p := range pods {
		addr := p.Addr.As4()
		add := func(list *[]nftables.SetElement, name string, i *relayproto.Isolation, peer side) error {
			if i == nil {
				return nil
			}
			chain := w.chain(name + p.Addr.String())
			*list = append(*list, nftables.SetElement{
				Key: addr[:], VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: chain.Name},
			})
			return w.isolate(chain, i, peer)
		}
		if err := add(&in, "in-", p.Ingress, source); err != nil {
			return err
		}
		if err := add(&out, "out-", p.Egress, destination); err != nil {
			return err
		}
	}
	forward := w.hook("forward", nftables.ChainHookForward)
	input := w.hook("input", nftables.ChainHookInput)
	for _, c := range []*nftables.Chain{forward, input} {
		w.rule(c, established(), verdict(expr.VerdictAccept))
	}
	if len(in) > 0 {
		if err := w.dispatch("isolated-in", in, destination, forward); err != nil {
			return err
		}
	}
	if len(out) > 0 {
		return w.dispatch("isolated-out", out, source, forward, input)
	}
	return nil
}

// dispatch makes chains look up whose policy it is.
func (w writer) dispatch(name string, elements []nftables.SetElement, by side, chains ...*nftables.Chain) error {
	set := &nftables.Set{Table: w.table, Name: name, IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeVerdict}
	if err := w.conn.AddSet(set, elements); err != nil {
		return fmt.Errorf("describe isolated pods: %w", err)
	}
	for _, c := range chains {
		w.rule(c, []expr.Any{
			loadAddr(by),
			&expr.Lookup{SourceRegister: reg, DestRegister: 0, IsDestRegSet: true, SetName: set.Name, SetID: set.ID},
		})
	}
	return nil
}
