package dns

import (
	"golang.org/x/net/dns/dnsmessage"
)

// A reply is an answer on its way to the wire.
type reply struct {
	q         query
	answer    answer
	soa       string // the zone whose authority a negative answer carries
	truncated bool
}

// pack returns the message, truncated to limit bytes with the flag that makes a client come back over TCP.
func (r *reply) pack(limit int) []byte {
	wire := r.build(len(r.answer.records), true)
	if len(wire) <= limit {
		return wire
	}
	// The additional section is a courtesy: it goes first.
	if wire = r.build(len(r.answer.records), false); len(wire) <= limit {
		return wire
	}
	r.truncated = true
	keep := len(r.answer.records)
	for keep > 0 && len(wire) > limit {
		keep /= 2
		wire = r.build(keep, false)
	}
	return wire
}

func (r *reply) build(keep int, additional bool) []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), dnsmessage.Header{
		ID: r.q.header.ID, Response: true, OpCode: r.q.header.OpCode, Authoritative: r.soa != "",
		Truncated: r.truncated, RecursionDesired: r.q.header.RecursionDesired, RecursionAvailable: true,
		RCode: r.answer.rcode,
	})
	b.EnableCompression()
	// Building can only fail for names that were checked when they came in; a short answer is better than none then.
	_ = b.StartQuestions()
	_ = b.Question(r.q.q)
	_ = b.StartAnswers()
	for _, rec := range r.answer.records[:keep] {
		r.add(&b, rec)
	}
	if len(r.answer.records) == 0 && r.soa != "" && r.answer.rcode != dnsmessage.RCodeServerFailure {
		_ = b.StartAuthorities()
		r.add(&b, authority(r.soa))
	}
	_ = b.StartAdditionals()
	if additional {
		for _, rec := range r.answer.additional {
			r.add(&b, rec)
		}
	}
	if r.q.edns {
		var h dnsmessage.ResourceHeader
		if h.SetEDNS0(1232, dnsmessage.RCodeSuccess, false) == nil {
			_ = b.OPTResource(h, dnsmessage.OPTResource{})
		}
	}
	wire, err := b.Finish()
	if err != nil {
		return nil
	}
	return wire
}

func (r *reply) add(b *dnsmessage.Builder, rec record) {
	name, err := dnsmessage.NewName(rec.name)
	if err != nil {
		return
	}
	// A client's own spelling comes back to it: some check the case (RFC draft vixie-dnsext-dns0x20).
	if rec.name == r.q.name+"." {
		name = r.q.q.Name
	}
	h := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl}
	switch body := rec.body.(type) {
	case *dnsmessage.AResource:
		_ = b.AResource(h, *body)
	case *dnsmessage.AAAAResource:
		_ = b.AAAAResource(h, *body)
	case *dnsmessage.CNAMEResource:
		_ = b.CNAMEResource(h, *body)
	case *dnsmessage.SRVResource:
		_ = b.SRVResource(h, *body)
	case *dnsmessage.PTRResource:
		_ = b.PTRResource(h, *body)
	case *dnsmessage.TXTResource:
		_ = b.TXTResource(h, *body)
	case *dnsmessage.SOAResource:
		_ = b.SOAResource(h, *body)
	}
}

// authority is the SOA of the cluster's zone; its last field is how long a client may believe a "no".
func authority(domain string) record {
	return record{domain + ".", &dnsmessage.SOAResource{
		NS:     dnsmessage.MustNewName("ns.dns." + domain + "."),
		MBox:   dnsmessage.MustNewName("hostmaster." + domain + "."),
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, MinTTL: ttl,
	}}
}
