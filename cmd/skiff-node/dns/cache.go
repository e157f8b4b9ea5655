package dns

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// cacheSize bounds the remembered answers; chosen, a few megabytes at most.
const cacheSize = 4096

// negativeTTL is how long a "no" without a SOA is believed.
const negativeTTL = 5 * time.Second

// maxTTL bounds what a server may ask for, so that a VPN that comes or goes is noticed soon.
const maxTTL = 30 * time.Second

type cacheKey struct {
	name      string
	qtype     dnsmessage.Type
	class     dnsmessage.Class
	edns, tcp bool
}

type cached struct {
	wire    []byte
	ttls    []int // offsets of the TTL fields in wire
	stored  time.Time
	expires time.Time
}

// A cache remembers forwarded answers by their TTL.
type cache struct {
	mu      sync.Mutex
	limit   int
	entries map[cacheKey]cached
}

func newCache(limit int) *cache { return &cache{limit: limit, entries: map[cacheKey]cached{}} }

// get returns a remembered answer made out to q, with its TTLs counted down.
func (c *cache) get(key cacheKey, q query, now time.Time) ([]byte, bool) {
	c.mu.Lock()
	e, ok := c.entries[key]
	if ok && !now.Before(e.expires) {
		delete(c.entries, key)
		ok = false
	}
	c.mu.Unlock()
	if !ok {
		return nil, false
	}
	wire := append([]byte(nil), e.wire...)
	binary.BigEndian.PutUint16(wire, q.header.ID)
	age := uint32(now.Sub(e.stored) / time.Second)
	for _, at := range e.ttls {
		left := binary.BigEndian.Uint32(wire[at:])
		binary.BigEndian.PutUint32(wire[at:], left-min(left, age))
	}
	// The question goes back as it was asked, in the client's own case.
	if name := rawName(q.raw); name != nil && len(wire) >= 12+len(name) {
		copy(wire[12:], name)
	}
	return wire, true
}

// put remembers an answer for as long as its records allow.
func (c *cache) put(key cacheKey, wire []byte, now time.Time) {
	if wire[2]&truncatedFlag != 0 {
		return
	}
	ttls, shortest, ok := scanTTLs(wire)
	if !ok {
		return
	}
	life := min(time.Duration(shortest)*time.Second, maxTTL)
	if len(ttls) == 0 {
		life = negativeTTL
	}
	if life <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= c.limit {
		c.evictLocked(now)
	}
	c.entries[key] = cached{wire: wire, ttls: ttls, stored: now, expires: now.Add(life)}
}

// evictLocked makes room: what has expired, and if that is nothing, whatever comes first.
func (c *cache) evictLocked(now time.Time) {
	for k, e := range c.entries {
		if !now.Before(e.expires) {
			delete(c.entries, k)
		}
	}
	for k := range c.entries {
		if len(c.entries) < c.limit {
			return
		}
		delete(c.entries, k)
	}
}

// scanTTLs finds the TTL fields of a message, and the shortest.
func scanTTLs(wire []byte) (offsets []int, shortest uint32, ok bool) {
	if len(wire) < 12 {
		return nil, 0, false
	}
	at := 12
	for range binary.BigEndian.Uint16(wire[4:]) {
		if at, ok = skipName(wire, at); !ok || at+4 > len(wire) {
			return nil, 0, false
		}
		at += 4
	}
	records := int(binary.BigEndian.Uint16(wire[6:])) + int(binary.BigEndian.Uint16(wire[8:])) + int(binary.BigEndian.Uint16(wire[10:]))
	shortest = 1<<32 - 1
	for range records {
		if at, ok = skipName(wire, at); !ok || at+10 > len(wire) {
			return nil, 0, false
		}
		kind := dnsmessage.Type(binary.BigEndian.Uint16(wire[at:]))
		if kind != dnsmessage.TypeOPT { // whose TTL field means something else
			offsets = append(offsets, at+4)
			shortest = min(shortest, binary.BigEndian.Uint32(wire[at+4:]))
		}
		at += 10 + int(binary.BigEndian.Uint16(wire[at+8:]))
		if at > len(wire) {
			return nil, 0, false
		}
	}
	return offsets, shortest, true
}

func skipName(wire []byte, at int) (int, bool) {
	for at < len(wire) {
		n := int(wire[at])
		switch {
		case n == 0:
			return at + 1, true
		case n&0xc0 == 0xc0:
			return at + 2, at+2 <= len(wire)
		case n&0xc0 != 0:
			return 0, false
		}
		at += n + 1
	}
	return 0, false
}

// rawName is the name of a query's question as it stands in the message.
func rawName(raw []byte) []byte {
	if len(raw) < 12 {
		return nil
	}
	end, ok := skipName(raw, 12)
	if !ok {
		return nil
	}
	return raw[12:end]
}
