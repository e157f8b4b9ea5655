package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/relayproto"
)

// Dial connects to an address on the pod network.
type Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)

// A Pool keeps connections to endpoints: one transport each, so that an endpoint's idle connections can be closed when
// it leaves, and a request is never sent on one that its server is about to close.
type Pool struct {
	dial     Dial
	backends func(key relayproto.Key, port uint16) []netip.AddrPort

	mu         sync.Mutex
	transports map[poolKey]*http.Transport // guarded by mu
	next       atomic.Uint64
}

type poolKey struct {
	service  relayproto.Key
	addr     netip.AddrPort
	protocol routing.Protocol
	tls      string // the BackendTLS's ID
}

// New returns a pool without connections. backends are a Service port's endpoints, the ones to use now.
func New(dial Dial, backends func(relayproto.Key, uint16) []netip.AddrPort) *Pool {
	return &Pool{dial: dial, backends: backends, transports: map[poolKey]*http.Transport{}}
}

// Forget closes the idle connections to endpoints that a Service does not have any more.
func (p *Pool) Forget(service relayproto.Key, still []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, t := range p.transports {
		if key.service == service && !slices.Contains(still, key.addr) {
			t.CloseIdleConnections()
			delete(p.transports, key)
		}
	}
}

// Close closes the idle connections.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, t := range p.transports {
		t.CloseIdleConnections()
		delete(p.transports, key)
	}
}

// dialTimeout bounds one attempt; an endpoint that lives answers within a millisecond.
const dialTimeout = 1500 * time.Millisecond

func (p *Pool) transport(key poolKey, secure *routing.BackendTLS) *http.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.transports[key]; t != nil {
		return t
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := p.dialBounded(ctx, network, key.addr)
			if err != nil {
				return nil, &dialError{err}
			}
			return conn, nil
		},
		MaxIdleConnsPerHost: 256, // chosen: as many as a load test on a laptop keeps open
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true, // what the client asked for passes through
		WriteBufferSize:     16 << 10,
		ReadBufferSize:      16 << 10,
		Protocols:           new(http.Protocols),
	}
	switch key.protocol {
	case routing.GRPC:
		t.Protocols.SetUnencryptedHTTP2(true)
	case routing.GRPCS:
		t.Protocols.SetHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
	if key.protocol == routing.HTTPS || key.protocol == routing.GRPCS {
		t.TLSClientConfig = configOf(secure)
	}
	p.transports[key] = t
	return t
}

func (p *Pool) dialBounded(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return p.dial(ctx, network, addr)
}

// Connect connects to one of a backend's endpoints, and begins TLS there when the backend has it. It returns which endpoint
// that is.
func (p *Pool) Connect(ctx context.Context, b *routing.Backend) (net.Conn, netip.AddrPort, error) {
	var tried []netip.AddrPort
	failed := ErrNoEndpoints
	for {
		addr, ok := p.pick(b, netip.AddrPort{}, tried)
		if !ok {
			return nil, addr, failed
		}
		tried = append(tried, addr)
		conn, err := p.dialBounded(ctx, "tcp", addr)
		if err == nil && b.TLS != nil {
			conn, err = secured(ctx, conn, b.TLS)
		}
		if err == nil {
			return conn, addr, nil
		}
		failed = fmt.Errorf("endpoint %s: %w", addr, err)
	}
}

// handshakeTimeout is how long an endpoint may take to agree on TLS; chosen.
const handshakeTimeout = 10 * time.Second

func secured(ctx context.Context, conn net.Conn, secure *routing.BackendTLS) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	c := tls.Client(conn, configOf(secure))
	if err := c.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// pick takes endpoints in turn, and none twice for one request.
func (p *Pool) pick(b *routing.Backend, prefer netip.AddrPort, tried []netip.AddrPort) (netip.AddrPort, bool) {
	backends := p.backends(b.Service, b.Port)
	if prefer.IsValid() && !slices.Contains(tried, prefer) && slices.Contains(backends, prefer) {
		return prefer, true
	}
	n := len(backends)
	if n == 0 {
		return netip.AddrPort{}, false
	}
	start := int(p.next.Add(1) % uint64(n))
	for i := range n {
		if addr := backends[(start+i)%n]; !slices.Contains(tried, addr) {
			return addr, true
		}
	}
	return netip.AddrPort{}, false
}
