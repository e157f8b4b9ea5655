package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// upstreamTimeout is how long one server is waited for; the engine's resolver itself tries several for up to 4 s.
const upstreamTimeout = 5 * time.Second

// A forwarder asks other servers and remembers their answers for as long as these allow.
type forwarder struct {
	upstream []netip.AddrPort
	zone     *Zone
	cache    *cache
}

func newForwarder(upstream []netip.AddrPort, zone *Zone) *forwarder {
	return &forwarder{upstream: upstream, zone: zone, cache: newCache(cacheSize)}
}

// exchange returns the answer to a query for a name that is not ours. With tcp the whole answer is wanted.
func (f *forwarder) exchange(q query, tcp bool) ([]byte, error) {
	key := cacheKey{name: q.name, qtype: q.q.Type, class: q.q.Class, edns: q.edns, tcp: tcp}
	if wire, ok := f.cache.get(key, q, time.Now()); ok {
		return wire, nil
	}
	servers := f.zone.stub(q.name)
	if servers == nil {
		servers = f.upstream
	}
	failed := errors.New("no server to forward to")
	var last []byte
	for _, server := range servers {
		wire, err := ask(server, q.raw, tcp)
		if err != nil {
			failed = err
			continue
		}
		last = wire
		if rcode := wire[3] & 0xf; rcode == byte(dnsmessage.RCodeSuccess) || rcode == byte(dnsmessage.RCodeNameError) {
			f.cache.put(key, wire, time.Now())
			return wire, nil
		}
	}
	if last != nil {
		return last, nil
	}
	return nil, failed
}

// addresses resolves a name for the client of an alias.
func (f *forwarder) addresses(name string, qtype dnsmessage.Type) ([]record, error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: uint16(time.Now().UnixNano()), RecursionDesired: true})
	question := dnsmessage.Question{Name: n, Type: qtype, Class: dnsmessage.ClassINET}
	if err := errors.Join(b.StartQuestions(), b.Question(question)); err != nil {
		return nil, err
	}
	raw, err := b.Finish()
	if err != nil {
		return nil, err
	}
	q, err := parseQuery(raw)
	if err != nil {
		return nil, err
	}
	q.raw = raw
	wire, err := f.exchange(q, false)
	if err == nil && wire[2]&truncatedFlag != 0 {
		wire, err = f.exchange(q, true)
	}
	if err != nil {
		return nil, err
	}
	return answersOf(wire)
}

func answersOf(wire []byte) ([]record, error) {
	var p dnsmessage.Parser
	if _, err := p.Start(wire); err != nil {
		return nil, err
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, err
	}
	resources, err := p.AllAnswers()
	if err != nil {
		return nil, err
	}
	var records []record
	for _, r := range resources {
		records = append(records, record{strings.ToLower(r.Header.Name.String()), r.Body})
	}
	return records, nil
}

// ask sends one query to one server and returns its answer as it came.
func ask(server netip.AddrPort, raw []byte, tcp bool) ([]byte, error) {
	network := "udp"
	if tcp {
		network = "tcp"
	}
	conn, err := net.DialTimeout(network, server.String(), upstreamTimeout)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(upstreamTimeout))
	if tcp {
		if err := writeTCP(conn, raw); err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
		wire, err := readTCP(conn)
		if err == nil && !answers(wire, raw) {
			err = errors.New("the answer is to another question")
		}
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
		return wire, nil
	}
	if _, err := conn.Write(raw); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
		if answers(buf[:n], raw) {
			return append([]byte(nil), buf[:n]...), nil
		}
	}
}

// truncatedFlag is the TC bit in the third byte of a message.
const truncatedFlag = 0x02

// answers reports whether wire is a response to the query raw.
func answers(wire, raw []byte) bool {
	return len(wire) >= 12 && binary.BigEndian.Uint16(wire) == binary.BigEndian.Uint16(raw) && wire[2]&0x80 != 0
}
