//go:build linux

package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"skiff.local/skiff/local/network/relayproto"
)

const reg = 1

// side is which end of a connection a chain compares with peers.
type side uint32

// The offsets of the addresses in an IPv4 header.
const (
	source      side = 12
	destination side = 16
)

// writer queues rules for one table.
type writer struct {
	conn  *nftables.Conn
	table *nftables.Table
}

func (w writer) chain(name string) *nftables.Chain {
	c := w.conn.AddChain(&nftables.Chain{Name: name, Table: w.table})
	w.conn.FlushChain(c)
	return c
}

func (w writer) hook(name string, hook *nftables.ChainHook) *nftables.Chain {
	c := w.conn.AddChain(&nftables.Chain{
		Name: name, Table: w.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
	})
	w.conn.FlushChain(c)
	return c
}

func (w writer) rule(c *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	w.conn.AddRule(&nftables.Rule{Table: w.table, Chain: c, Exprs: all})
}

// isolate fills a chain with what an Isolation lets through, and drops the rest. What it lets through goes back to where
// the chain was called from.
func (w writer) isolate(c *nftables.Chain, i *relayproto.Isolation, peer side) error {
	for n, a := range i.Allow {
		var from []expr.Any
		switch {
		case a.AnyPeer:
		case len(a.Peers) == 0:
			continue
		default:
			set, err := w.ranges(fmt.Sprintf("%s-peers-%d", c.Name, n), a.Peers)
			if err != nil {
				return err
			}
			from = []expr.Any{
				loadAddr(peer),
				&expr.Lookup{SourceRegister: reg, SetName: set.Name, SetID: set.ID},
			}
		}
		if len(a.Ports) == 0 {
			w.rule(c, from, verdict(expr.VerdictReturn))
		}
		for _, p := range a.Ports {
			w.rule(c, from, port(p), verdict(expr.VerdictReturn))
		}
	}
	w.rule(c, verdict(expr.VerdictDrop))
	return nil
}

// ranges makes a set of peers. It has a name because a rule per port looks into it: the kernel binds an anonymous set to a
// single rule, and answers EBUSY to a second one.
func (w writer) ranges(name string, peers []relayproto.AddrRange) (*nftables.Set, error) {
	set := &nftables.Set{Table: w.table, Name: name, Constant: true, Interval: true, KeyType: nftables.TypeIPAddr}
	var elements []nftables.SetElement
	for _, p := range peers {
		first := p.First.As4()
		elements = append(elements, nftables.SetElement{Key: first[:]})
		if end := p.Last.Next(); end.IsValid() {
			past := end.As4()
			elements = append(elements, nftables.SetElement{Key: past[:], IntervalEnd: true})
		}
	}
	if err := w.conn.AddSet(set, elements); err != nil {
		return nil, fmt.Errorf("describe peers: %w", err)
	}
	return set, nil
}

func loadAddr(s side) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(s), Len: 4}
}

// port matches the protocol and the port that is connected to.
func port(p relayproto.PortRange) []expr.Any {
	first, last := make([]byte, 2), make([]byte, 2)
	binary.BigEndian.PutUint16(first, p.First)
	binary.BigEndian.PutUint16(last, p.Last)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{byte(p.Protocol)}},
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Range{Op: expr.CmpOpEq, Register: reg, FromData: first, ToData: last},
	}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

// established matches the packets of connections that were let through when they began.
func established() []expr.Any {
	const state = 2 | 4 // NF_CT_STATE_BIT of established and related
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(state), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: make([]byte, 4)},
	}
}

// loopback matches what stays inside of the namespace.
func loopback(key expr.MetaKey) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, "lo")
	return []expr.Any{&expr.Meta{Key: key, Register: reg}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: name}}
}

// within matches an address in a prefix.
func within(s side, p netip.Prefix) []expr.Any {
	mask := make([]byte, 4)
	binary.BigEndian.PutUint32(mask, ^uint32(0)<<(32-p.Bits()))
	if p.Bits() == 0 {
		mask = make([]byte, 4)
	}
	addr := p.Masked().Addr().As4()
	return []expr.Any{
		loadAddr(s),
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: addr[:]},
	}
}
