package listen

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A target is shared by a port and its connections.
type target struct {
	mu     sync.Mutex
	now    Target
	sticky map[netip.Addr]stick // by client; guarded by mu
	// changed is closed and replaced when now changes; guarded by mu.
	changed chan struct{}
}

type stick struct {
	to   netip.AddrPort
	last time.Time
}

func newTarget(t Target) *target {
	return &target{now: t, sticky: map[netip.Addr]stick{}, changed: make(chan struct{})}
}

func (t *target) set(now Target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = now
	close(t.changed)
	t.changed = make(chan struct{})
}

// order returns the backends in the order in which to try them for a client; none for one that may not come.
func (t *target) order(client netip.Addr, now time.Time) []netip.AddrPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.now.admits(client) {
		return nil
	}
	backends := slices.Clone(t.now.Backends)
	rand.Shuffle(len(backends), func(i, j int) { backends[i], backends[j] = backends[j], backends[i] })
	s, ok := t.sticky[client]
	if t.now.Affinity <= 0 || !ok || now.Sub(s.last) > t.now.Affinity {
		return backends
	}
	if i := slices.Index(backends, s.to); i > 0 {
		backends[0], backends[i] = backends[i], backends[0]
	}
	return backends
}

// chose remembers where a client's connection went.
func (t *target) chose(client netip.Addr, to netip.AddrPort, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now.Affinity > 0 {
		t.sticky[client] = stick{to: to, last: now}
	}
}

func (t *Target) admits(client netip.Addr) bool {
	client = client.Unmap()
	return len(t.Sources) == 0 || client.IsLoopback() || slices.ContainsFunc(t.Sources, func(p netip.Prefix) bool { return p.Contains(client) })
}

func (t *target) answer() func(net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now.Answer
}

// has reports whether a backend is still one.
func (t *target) has(b netip.AddrPort) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.now.Backends, b)
}
