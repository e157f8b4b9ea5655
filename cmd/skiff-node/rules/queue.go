//go:build linux

package rules

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// queue adds a change to the transaction in the order that the kernel demands: nothing may point to a chain that is
// not there, and nothing that is pointed to may go.
func (t *Table) queue(c *change) error {
	for _, target := range c.set {
		if err := t.queueTarget(target, t.current[c.key].targets[target.chain]); err != nil {
			return err
		}
	}
	var gone, added []nftables.SetElement
	for f := range c.dropFronts {
		if t.owner[f] == c.key {
			gone = append(gone, nftables.SetElement{Key: f.key()})
		}
	}
	for f, chain := range c.addFronts {
		if _, taken := t.owner[f]; taken {
			gone = append(gone, nftables.SetElement{Key: f.key()})
		}
		added = append(added, nftables.SetElement{
			Key: f.key(), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain},
		})
	}
	if len(gone) > 0 {
		if err := t.conn.SetDeleteElements(t.services, gone); err != nil {
			return fmt.Errorf("remove service addresses: %w", err)
		}
		t.queued++
	}
	if len(added) > 0 {
		if err := t.conn.SetAddElements(t.services, added); err != nil {
			return fmt.Errorf("add service addresses: %w", err)
		}
		t.queued++
	}
	for _, old := range c.drop {
		chain := &nftables.Chain{Name: old.chain, Table: t.table}
		t.conn.FlushChain(chain)
		t.conn.DelChain(chain)
		t.queued += 2
		if old.affinity > 0 {
			t.dropAffinity(old, old.backends)
		}
		t.dropLocal(old, target{})
	}
	return nil
}

// queueTarget writes the chain that picks an endpoint.
func (t *Table) queueTarget(now, old target) error {
	chain := t.conn.AddChain(&nftables.Chain{Name: now.chain, Table: t.table})
	t.conn.FlushChain(chain)
	t.queued += 2
	if old.affinity > 0 {
		gone := old.backends
		if old.affinity == now.affinity {
			gone = slices.DeleteFunc(slices.Clone(gone), func(b netip.AddrPort) bool { return slices.Contains(now.backends, b) })
		}
		t.dropAffinity(old, gone)
	}
	t.dropLocal(old, now)
	switch {
	case now.local != nil:
		return t.queueLocal(chain, now)
	case now.affinity > 0:
		return t.queueAffinity(chain, now)
	}
	return t.queueChoice(chain, now.backends)
}

// queueChoice writes a chain that picks any of the endpoints.
func (t *Table) queueChoice(chain *nftables.Chain, backends []netip.AddrPort) error {
	if len(backends) == 1 {
		t.addRule(chain, dnatTo(backends[0])...)
		return nil
	}
	choices := &nftables.Set{
		Table: t.table, Anonymous: true, Constant: true, IsMap: true,
		KeyType:  nftables.TypeInteger,
		DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
	}
	elements := make([]nftables.SetElement, len(backends))
	for i, b := range backends {
		elements[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: destination(b)}
	}
	if err := t.conn.AddSet(choices, elements); err != nil {
		return fmt.Errorf("describe endpoints: %w", err)
	}
	t.queued += 2
	t.addRule(chain, dnatRandom(choices, len(backends))...)
	// The elements of a chain's choices go at once when it is written again, and who is in the old chain at that moment
	// finds none: some in 10,000 updates under load were refused a connection.
	t.addRule(chain, dnatTo(backends[0])...)
	return nil
}

// queueAffinity writes a chain that sends a client to where it went last, and otherwise anywhere, remembering it.
func (t *Table) queueAffinity(chain *nftables.Chain, now target) error {
	var picks []nftables.SetElement
	for i, b := range now.backends {
		clients := t.affinitySet(now, b)
		if err := t.conn.AddSet(clients, nil); err != nil {
			return fmt.Errorf("describe clients of an endpoint: %w", err)
		}
		endpoint := t.conn.AddChain(&nftables.Chain{Name: endpointChain(now.chain, b), Table: t.table})
		t.conn.FlushChain(endpoint)
		t.addRule(endpoint, append(rememberClient(clients), dnatTo(b)...)...)
		t.addRule(chain, gotoIfKnown(clients, endpoint.Name)...)
		t.queued += 3
		picks = append(picks, nftables.SetElement{
			Key:         binaryutil.NativeEndian.PutUint32(uint32(i)),
			VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: endpoint.Name},
		})
	}
	choices := &nftables.Set{
		Table: t.table, Anonymous: true, Constant: true, IsMap: true,
		KeyType: nftables.TypeInteger, DataType: nftables.TypeVerdict,
	}
	if err := t.conn.AddSet(choices, picks); err != nil {
		return fmt.Errorf("describe endpoints: %w", err)
	}
	t.queued += 2
	t.addRule(chain, gotoRandom(choices, len(now.backends))...)
	t.addRule(chain, gotoChain(endpointChain(now.chain, now.backends[0]))...)
	return nil
}

func (t *Table) affinitySet(of target, b netip.AddrPort) *nftables.Set {
	return &nftables.Set{
		Table: t.table, Name: affinitySet(of.chain, b), KeyType: nftables.TypeIPAddr,
		Dynamic: true, HasTimeout: true, Timeout: seconds(of.affinity), Size: 65535,
	}
}

func (t *Table) dropAffinity(of target, backends []netip.AddrPort) {
	for _, b := range backends {
		endpoint := &nftables.Chain{Name: endpointChain(of.chain, b), Table: t.table}
		t.conn.FlushChain(endpoint)
		t.conn.DelChain(endpoint)
		t.conn.DelSet(t.affinitySet(of, b))
		t.queued += 3
	}
}

func endpointChain(chain string, b netip.AddrPort) string { return "e" + affinitySet(chain, b)[1:] }

// key is the element's key in the map of services: each part padded to four bytes.
func (f front) key() []byte {
	addr := f.addr.As4()
	return []byte{addr[0], addr[1], addr[2], addr[3], byte(f.proto), 0, 0, 0, byte(f.port >> 8), byte(f.port), 0, 0}
}

// destination is an endpoint as a value of a map, padded likewise.
func destination(b netip.AddrPort) []byte {
	addr := b.Addr().As4()
	return []byte{addr[0], addr[1], addr[2], addr[3], byte(b.Port() >> 8), byte(b.Port()), 0, 0}
}
