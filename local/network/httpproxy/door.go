package httpproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/listen"
)

// A door is one open port with what is served there.
type door struct {
	server    *Server
	own       netip.Addr
	port      uint16
	secure    bool
	table     atomic.Pointer[routing.Table]
	certs     atomic.Pointer[Certificates]
	names     atomic.Pointer[names]
	listeners []net.Listener
	http      *http.Server
	open      context.Context // ends when connections must
	end       context.CancelFunc
}

func (s *Server) open(at Place, port uint16, o Offer) (*door, error) {
	addrs := s.cfg.Bind
	if at.Own.IsValid() {
		addrs = []netip.Addr{at.Own}
	}
	listeners, err := listenAll(addrs, port)
	if err != nil {
		return nil, err
	}
	d := &door{server: s, own: at.Own, port: port, secure: o.Secure}
	d.open, d.end = context.WithCancel(context.Background())
	d.set(o)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.Secure)
	// gRPC without TLS.
	protocols.SetUnencryptedHTTP2(!o.Secure)
	d.http = &http.Server{
		Handler: d, Protocols: protocols,
		ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if o.Secure {
		d.http.TLSConfig = d.tlsConfig()
		d.http.TLSConfig.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return d.names.Load().config(hello) }
	}
	for _, l := range listeners {
		if o.Secure {
			l = newGate(l, d)
		}
		d.listeners = append(d.listeners, l)
		go d.serve(l)
	}
	return d, nil
}

// listenAll opens a port on all addresses or on none. An address that this machine does not have is left out.
func listenAll(addrs []netip.Addr, port uint16) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, addr := range addrs {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
		if err != nil {
			if addr == netip.IPv6Loopback() && len(listeners) > 0 && !listen.InUse(err) {
				continue
			}
			for _, open := range listeners {
				open.Close()
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func (d *door) set(o Offer) {
	d.table.Store(o.Table)
	d.certs.Store(o.Certificates)
	d.names.Store(d.newNames(o.Names))
}

func (d *door) tlsConfig() *tls.Config {
	return &tls.Config{GetCertificate: d.certificate, NextProtos: []string{"h2", "http/1.1"}}
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.TLS != nil {
		if host := routing.HostOf(req.Host); d.names.Load().misdirected(req.TLS, host) {
			d.server.proxy.Refuse(w, req, http.StatusMisdirectedRequest, fmt.Sprintf(
				"the connection is for %q, requests for %q need one of their own", req.TLS.ServerName, host))
			return
		}
	}
	d.server.proxy.Serve(w, req, d.table.Load(), d)
}

// Port implements routing.Entrance.
func (d *door) Port() int { return int(d.port) }

// Served implements routing.Entrance.
func (d *door) Served(port int) int { return d.server.served(d.own, port) }

func (d *door) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return d.certs.Load().find(hello.ServerName)
}

func (d *door) serve(l net.Listener) {
	if d.secure {
		_ = d.http.ServeTLS(l, "", "")
		return
	}
	_ = d.http.Serve(l)
}

// drainTime is how long requests may take when a port closes.
const drainTime = 2 * time.Second

// shut closes the port at once; requests that are being served may end.
func (d *door) shut() {
	for _, l := range d.listeners {
		l.Close()
	}
	go func() {
		defer d.end()
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if d.http.Shutdown(ctx) != nil {
			d.http.Close()
		}
	}()
}
