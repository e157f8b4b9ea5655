package httpproxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// Dial connects to an address on the pod network.
type Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)

// A pool keeps connections to endpoints: one transport each, so that an endpoint's idle connections can be closed when
// it leaves, and a request is never sent on one that its server is about to close.
type pool struct {
	dial     Dial
	backends func(key relayproto.Key, port uint16) []netip.AddrPort

	mu         sync.Mutex
	transports map[poolKey]*http.Transport // guarded by mu
	next       atomic.Uint64
}

type poolKey struct {
	service  relayproto.Key
	addr     netip.AddrPort
	protocol Protocol
	tls      string // the BackendTLS's ID
}

func newPool(dial Dial, backends func(relayproto.Key, uint16) []netip.AddrPort) *pool {
	return &pool{dial: dial, backends: backends, transports: map[poolKey]*http.Transport{}}
}

// forget closes the idle connections to endpoints that a Service does not have any more.
func (p *pool) forget(service relayproto.Key, still []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, t := range p.transports {
		if key.service == service && !slices.Contains(still, key.addr) {
			t.CloseIdleConnections()
			delete(p.transports, key)
		}
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, t := range p.transports {
		t.CloseIdleConnections()
		delete(p.transports, key)
	}
}

// dialTimeout bounds one attempt; an endpoint that lives answers within a millisecond.
const dialTimeout = 1500 * time.Millisecond

func (p *pool) transport(key poolKey, secure *BackendTLS) *http.Transport {
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
	case GRPC:
		t.Protocols.SetUnencryptedHTTP2(true)
	case GRPCS:
		t.Protocols.SetHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
	if key.protocol == HTTPS || key.protocol == GRPCS {
		t.TLSClientConfig = secure.config()
	}
	p.transports[key] = t
	return t
}

func (p *pool) dialBounded(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return p.dial(ctx, network, addr)
}

// connect connects to one of a backend's endpoints, and with secure begins TLS there.
func (p *pool) connect(ctx context.Context, b *Backend, secure *BackendTLS) (net.Conn, netip.AddrPort, error) {
	var tried []netip.AddrPort
	failed := errNoEndpoints
	for {
		addr, ok := p.pick(b, netip.AddrPort{}, tried)
		if !ok {
			return nil, addr, failed
		}
		tried = append(tried, addr)
		conn, err := p.dialBounded(ctx, "tcp", addr)
		if err == nil && secure != nil {
			conn, err = shakeHands(ctx, tls.Client(conn, secure.config()))
		}
		if err == nil {
			return conn, addr, nil
		}
		failed = fmt.Errorf("endpoint %s: %w", addr, err)
	}
}

// dialError is a connection that could not be made: nothing was sent, whatever the request.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// errNoEndpoints is the error of a Service without ready endpoints.
var errNoEndpoints = errors.New("the Service has no ready endpoints")

// roundTrip sends a request to one of the backend's endpoints; to the next when one takes no connection, or ends it
// without an answer to a request that may be sent twice. With a timeout, an endpoint that has not begun to answer by then
// is given up.
func (p *pool) roundTrip(req *http.Request, b *Backend, prefer netip.AddrPort, timeout time.Duration) (*http.Response, netip.AddrPort, error) {
	body := req.Body
	if body != nil && body != http.NoBody {
		req.Body = keepOpen{body}
	}
	var tried []netip.AddrPort
	failed := errNoEndpoints
	for {
		addr, ok := p.pick(b, prefer, tried)
		if !ok {
			return nil, addr, failed
		}
		tried = append(tried, addr)
		protocol := b.Protocol
		if isGRPC(req) {
			switch protocol {
			case HTTP:
				protocol = GRPC
			case HTTPS:
				protocol = GRPCS
			}
		}
		key := poolKey{service: b.Service, addr: addr, protocol: protocol}
		if b.TLS != nil {
			key.tls = b.TLS.ID
		}
		req.URL.Scheme = "http"
		if protocol == HTTPS || protocol == GRPCS {
			req.URL.Scheme = "https"
		}
		req.URL.Host = addr.String()
		res, err := bounded(p.transport(key, b.TLS), req, timeout)
		if err == nil {
			return res, addr, nil
		}
		failed = fmt.Errorf("endpoint %s: %w", addr, err)
		var dial *dialError
		if req.Context().Err() != nil || !errors.As(err, &dial) && !(repeatable(req) && hungUp(err)) {
			return nil, addr, failed
		}
	}
}

// repeatable reports whether a request may be sent twice: it changes nothing, by RFC 9110, and has no body.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return req.Body == nil || req.Body == http.NoBody
	}
	return false
}

// hungUp reports whether an endpoint ended the connection instead of answering: a server that was told to stop does so
// to connections that it has not accepted yet.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// errSlowEndpoint is the error of an endpoint that did not begin to answer in time.
var errSlowEndpoint = errors.New("it did not answer in time")

func bounded(t *http.Transport, req *http.Request, timeout time.Duration) (*http.Response, error) {
	if timeout == 0 {
		return t.RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(timeout, func() { cancel(errSlowEndpoint) })
	res, err := t.RoundTrip(req.WithContext(ctx))
	if err != nil || !timer.Stop() {
		cause := context.Cause(ctx)
		cancel(nil)
		if res != nil {
			res.Body.Close()
		}
		return nil, cmp.Or(cause, err)
	}
	res.Request = req
	return res, nil // what is left of ctx ends with the request's
}

// pick takes endpoints in turn, and none twice for one request.
func (p *pool) pick(b *Backend, prefer netip.AddrPort, tried []netip.AddrPort) (netip.AddrPort, bool) {
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

func isGRPC(req *http.Request) bool {
	const kind = "application/grpc"
	t := req.Header.Get("Content-Type")
	return req.ProtoMajor == 2 && len(t) >= len(kind) && t[:len(kind)] == kind
}

// keepOpen is a body that survives a failed attempt: a transport closes bodies even when it could not connect. The server
// closes it for good.
type keepOpen struct{ io.Reader }

func (keepOpen) Close() error { return nil }
