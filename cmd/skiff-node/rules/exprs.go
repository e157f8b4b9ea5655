//go:build linux

package rules

import (
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers: 1 is the first, and 9 and 10 are the words behind its first one. A concatenation is loaded into
// consecutive words.
const (
	reg0 = 1
	reg1 = 9
	reg2 = 10
)

// Offsets in the IPv4 and transport headers.
const (
	ipSource      = 12
	ipDestination = 16
	portDest      = 2
)

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func loadIP(register, offset uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}

// ip daddr . meta l4proto . th dport vmap @services
func lookupService(services *nftables.Set) []expr.Any {
	return []expr.Any{
		loadIP(reg0, ipDestination),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Payload{DestRegister: reg2, Base: expr.PayloadBaseTransportHeader, Offset: portDest, Len: 2},
		&expr.Lookup{SourceRegister: reg0, DestRegister: 0, IsDestRegSet: true, SetName: services.Name, SetID: services.ID},
	}
}

// ip daddr host meta l4proto tcp dnat to host:port
func redirectHost(host netip.AddrPort) []expr.Any {
	addr := host.Addr().As4()
	return append([]expr.Any{
		loadIP(reg0, ipDestination),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: addr[:]},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{unix.IPPROTO_TCP}},
	}, dnatTo(host)...)
}

// ct status dnat masquerade
func masqueradeForwarded() []expr.Any {
	dnat := binaryutil.NativeEndian.PutUint32(0x20) // IPS_DST_NAT
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: dnat, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: make([]byte, 4)},
		&expr.Masq{},
	}
}

// icmp type redirect drop
func dropRedirects() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{unix.IPPROTO_ICMP}},
		&expr.Payload{DestRegister: reg0, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{5}}, // ICMP_REDIRECT
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// dnat to b
func dnatTo(b netip.AddrPort) []expr.Any {
	value := destination(b)
	return []expr.Any{
		&expr.Immediate{Register: reg0, Data: value[:4]},
		&expr.Immediate{Register: reg1, Data: value[4:6]},
		dnat(),
	}
}

// dnat to numgen random mod n map choices
func dnatRandom(choices *nftables.Set, n int) []expr.Any {
	return []expr.Any{
		&expr.Numgen{Register: reg0, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM},
		&expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetName: choices.Name, SetID: choices.ID},
		dnat(),
	}
}

func dnat() expr.Any {
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0, RegProtoMin: reg1}
}

// numgen random mod n vmap choices
func gotoRandom(choices *nftables.Set, n int) []expr.Any {
	return []expr.Any{
		&expr.Numgen{Register: reg0, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM},
		&expr.Lookup{SourceRegister: reg0, DestRegister: 0, IsDestRegSet: true, SetName: choices.Name, SetID: choices.ID},
	}
}

// goto chain
func gotoChain(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

// ip saddr @clients
func isKnown(clients *nftables.Set) []expr.Any {
	return []expr.Any{
		loadIP(reg0, ipSource),
		&expr.Lookup{SourceRegister: reg0, SetName: clients.Name, SetID: clients.ID},
	}
}

// ip saddr @clients goto chain
func gotoIfKnown(clients *nftables.Set, chain string) []expr.Any {
	return append(isKnown(clients), gotoChain(chain)...)
}

// update @clients { ip saddr }
func rememberClient(clients *nftables.Set) []expr.Any {
	return []expr.Any{
		loadIP(reg0, ipSource),
		&expr.Dynset{
			SrcRegKey: reg0, SetName: clients.Name, SetID: clients.ID,
			Operation: uint32(unix.NFT_DYNSET_OP_UPDATE), Timeout: clients.Timeout,
		},
	}
}
