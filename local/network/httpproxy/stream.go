package httpproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"

	"skiff.local/skiff/local/network/relayproto"
)

// carry takes a connection, of which some has been read, to a backend of a stream. It returns when the connection is over,
// or its port closed for longer than requests may take.
func (d *door) carry(conn net.Conn, read []byte, s *Stream) {
	ctx := d.open
	backend := chooseStream(s)
	if backend == nil {
		relayproto.Refuse(conn)
		return
	}
	if s.Terminate {
		ended := tls.Server(&replayed{Conn: conn, first: bytes.NewReader(read)}, &tls.Config{GetCertificate: d.certificate})
		handshake, cancel := context.WithTimeout(ctx, helloTime)
		err := ended.HandshakeContext(handshake)
		cancel()
		if err != nil {
			conn.Close()
			return
		}
		conn, read = ended, nil
	}
	to, err := d.server.proxy.pool.connect(ctx, backend)
	if err != nil {
		relayproto.Refuse(conn)
		return
	}
	defer context.AfterFunc(ctx, func() { conn.Close(); to.Close() })()
	if len(read) > 0 {
		if _, err := to.Write(read); err != nil {
			relayproto.Refuse(conn)
			to.Close()
			return
		}
	}
	relayproto.Pipe(conn, to)
}

// chooseStream is the backend for one connection; nil when it must be refused.
func chooseStream(s *Stream) *Backend {
	if s.Route == nil {
		return nil
	}
	var d routing
	d.decide(s.Route, nil, rand.IntN)
	return d.backend
}
