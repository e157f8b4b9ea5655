package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// dialError is a connection that could not be made: nothing was sent, whatever the request.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// ErrNoEndpoints is the error of a Service without ready endpoints.
var ErrNoEndpoints = errors.New("the Service has no ready endpoints")

// RoundTrip sends a request to one of the backend's endpoints; to the next when one takes no connection, or ends it
// without an answer to a request that may be sent twice. With a timeout, an endpoint that has not begun to answer by then
// is given up.
func (p *Pool) RoundTrip(req *http.Request, b *routing.Backend, prefer netip.AddrPort, timeout time.Duration) (*http.Response, netip.AddrPort, error) {
	body := req.Body
	if body != nil && body != http.NoBody {
		req.Body = keepOpen{body}
	}
	var tried []netip.AddrPort
	failed := ErrNoEndpoints
	for {
		addr, ok := p.pick(b, prefer, tried)
		if !ok {
			return nil, addr, failed
		}
		tried = append(tried, addr)
		protocol := b.Protocol
		if routing.IsGRPC(req) {
			switch protocol {
			case routing.HTTP:
				protocol = routing.GRPC
			case routing.HTTPS:
				protocol = routing.GRPCS
			}
		}
		key := poolKey{service: b.Service, addr: addr, protocol: protocol}
		if b.TLS != nil {
			key.tls = b.TLS.ID
		}
		req.URL.Scheme = "http"
		if protocol == routing.HTTPS || protocol == routing.GRPCS {
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

// ErrSlow is the error of an endpoint that did not begin to answer in time.
var ErrSlow = errors.New("it did not answer in time")

func bounded(t *http.Transport, req *http.Request, timeout time.Duration) (*http.Response, error) {
	if timeout == 0 {
		return t.RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(timeout, func() { cancel(ErrSlow) })
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

// keepOpen is a body that survives a failed attempt: a transport closes bodies even when it could not connect. The server
// closes it for good.
type keepOpen struct{ io.Reader }

func (keepOpen) Close() error { return nil }
