package policy

import (
	"net/netip"
	"slices"

	"skiff.local/skiff/local/network/relayproto"
)

// rangeOf is a prefix as a range.
func rangeOf(p netip.Prefix) relayproto.AddrRange {
	p = p.Masked()
	first := p.Addr().As4()
	last := first
	for bit := p.Bits(); bit < 32; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	return relayproto.AddrRange{First: netip.AddrFrom4(first), Last: netip.AddrFrom4(last)}
}

// merge sorts ranges and joins those that touch.
func merge(in []relayproto.AddrRange) []relayproto.AddrRange {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b relayproto.AddrRange) int { return a.First.Compare(b.First) })
	var out []relayproto.AddrRange
	for _, r := range in {
		if n := len(out); n > 0 && (!out[n-1].Last.Next().IsValid() || r.First.Compare(out[n-1].Last.Next()) <= 0) {
			if r.Last.Compare(out[n-1].Last) > 0 {
				out[n-1].Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// without takes a range out of merged ranges.
func without(in []relayproto.AddrRange, cut relayproto.AddrRange) []relayproto.AddrRange {
	var out []relayproto.AddrRange
	for _, r := range in {
		if cut.Last.Compare(r.First) < 0 || cut.First.Compare(r.Last) > 0 {
			out = append(out, r)
			continue
		}
		if cut.First.Compare(r.First) > 0 {
			out = append(out, relayproto.AddrRange{First: r.First, Last: cut.First.Prev()})
		}
		if cut.Last.Compare(r.Last) < 0 {
			out = append(out, relayproto.AddrRange{First: cut.Last.Next(), Last: r.Last})
		}
	}
	return out
}
