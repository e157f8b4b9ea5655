package httpproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/httpproxy/upstream"
	"skiff.local/skiff/local/network/relayproto"
)

// carry takes a connection for a name, of which some has been read, to a backend of a stream. It returns when the connection is
// over, or its port closed for longer than requests may take. The log has the status that a request would have been answered
// with.
func (d *door) carry(conn net.Conn, name string, read []byte, s *Stream) {
	line := &accesslog.Entry{
		Client: routing.HostOf(conn.RemoteAddr().String()), Begin: time.Now(),
		// A client may ask for any text: a line of the log must stay one.
		Method: "TLS", Host: url.PathEscape(name), Target: s.Listener, Protocol: s.mode(),
	}
	defer func() { d.server.accessLog.Write(line) }()
	var backend *routing.Backend
	if backend, line.Status = s.choose(); backend == nil {
		relayproto.Refuse(conn)
		return
	}
	line.Service, line.Port = backend.Service, backend.Port
	client := conn // beneath TLS that ends here: a reset is the connection's
	if s.Terminate {
		ended, err := d.endTLS(&replayed{Conn: conn, first: bytes.NewReader(read)})
		if err != nil {
			line.Status = http.StatusBadRequest
			return
		}
		conn, read = ended, nil
	}
	to, endpoint, err := d.server.pool.Connect(d.open, backend)
	if line.Endpoint = endpoint; err != nil {
		line.Status = http.StatusBadGateway
		if errors.Is(err, upstream.ErrNoEndpoints) {
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
func (s *Stream) choose() (*routing.Backend, int) {
	if s.Route == nil {
		return nil, http.StatusNotFound
	}
	d := s.Route.Decide(nil, rand.IntN)
	if d.Backend == nil {
		return nil, d.Code
	}
	return d.Backend, http.StatusOK
}

// endTLS does the port's side of the handshake. When that fails, the connection is closed.
func (d *door) endTLS(conn net.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.open, helloTime)
	defer cancel()
	ended := tls.Server(conn, &tls.Config{GetCertificate: d.certificate})
	if err := ended.HandshakeContext(ctx); err != nil {
		ended.Close()
		return nil, err
	}
	return ended, nil
}
