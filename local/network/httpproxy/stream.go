package httpproxy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/relayproto"
)

// carry takes a connection for a name, of which some has been read, to a backend of a stream. It returns when the connection is
// over, or its port closed for longer than requests may take. The log has the status that a request would have been answered
// with.
func (d *door) carry(conn net.Conn, name string, read []byte, s *Stream) {
	line := &accesslog.Entry{
		Client: hostOf(conn.RemoteAddr().String()), Begin: time.Now(),
		// A client may ask for any text: a line of the log must stay one.
		Method: "TLS", Host: url.PathEscape(name), Target: s.Listener, Protocol: s.mode(),
	}
	defer func() { d.server.proxy.log.Write(line) }()
	backend, code := s.choose()
	if line.Status = code; backend == nil {
		relayproto.Refuse(conn)
		return
	}
	line.Service, line.Port = backend.Service, backend.Port
	var secure *BackendTLS
	client := conn // beneath TLS that ends here: a reset is the connection's
	if s.Terminate {
		ended, err := shakeHands(d.open, tls.Server(&replayed{Conn: conn, first: bytes.NewReader(read)}, &tls.Config{GetCertificate: d.certificate}))
		if err != nil {
			line.Status = http.StatusBadRequest
			return
		}
		conn, read, secure = ended, nil, backend.TLS
	}
	to, endpoint, err := d.server.proxy.pool.connect(d.open, backend, secure)
	if line.Endpoint = endpoint; err != nil {
		line.Status = http.StatusBadGateway
		if errors.Is(err, errNoEndpoints) {
			line.Status = http.StatusServiceUnavailable
		}
		relayproto.Refuse(client)
		return
	}
	defer context.AfterFunc(d.open, func() { conn.Close(); to.Close() })()
	if len(read) > 0 {
		if _, err := to.Write(read); err != nil {
			line.Status = http.StatusBadGateway
			relayproto.Refuse(client)
			to.Close()
			return
		}
	}
	line.Bytes = relayproto.Pipe(conn, to)
}

// mode is what happens to TLS, as listeners of the Gateway API call it; "" when connections are refused anyway.
func (s *Stream) mode() string {
	switch {
	case s.Route == nil:
		return ""
	case s.Terminate:
		return "Terminate"
	}
	return "Passthrough"
}

// choose is the backend for one connection; nil when it must be refused, with the status that says why.
func (s *Stream) choose() (*Backend, int) {
	if s.Route == nil {
		return nil, http.StatusNotFound
	}
	var d routing
	d.decide(s.Route, nil, rand.IntN)
	if d.backend == nil {
		return nil, cmp.Or(s.Route.UnavailableCode, http.StatusServiceUnavailable)
	}
	return d.backend, http.StatusOK
}

// shakeHands begins TLS on a connection. When that fails, the connection is closed.
func shakeHands(ctx context.Context, conn *tls.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
