package ingress

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"skiff.local/skiff/local/network/listen"
)

// Ports are where Ingresses are served: the first port of each list that can be opened.
type Ports struct {
	HTTP, HTTPS []uint16
}

// DefaultPorts are the web's own, and where they may not or can't be opened, the documented ones to fall back on.
func DefaultPorts() Ports {
	return Ports{HTTP: []uint16{80, 8080, 7080}, HTTPS: []uint16{443, 8443, 7443}}
}

// A Status is where Ingresses are served.
type Status struct {
	HTTP, HTTPS uint16 // 0 while nothing needs them, or none can be opened
	Problem     string // why the preferred port is not served
}

// A server listens while there is something to serve.
type server struct {
	controller *Controller
	log        *slog.Logger
	ports      Ports

	mu      sync.Mutex
	wanted  bool
	http    *door // guarded by mu
	https   *door // guarded by mu
	retry   *time.Timer
	closed  bool
	problem string
}

// A door is one port, open on every address.
type door struct {
	port      uint16
	preferred bool
	server    *http.Server
}

func newServer(c *Controller) *server {
	s := &server{controller: c, log: c.cfg.Logger, ports: c.cfg.Ports}
	if len(s.ports.HTTP) == 0 {
		s.ports = DefaultPorts()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// want opens the ports, or closes them when nothing is to be served.
func (s *server) want(wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = wanted
	s.settleLocked()
}

// retryEvery is how often ports that could not be opened are tried again.
const retryEvery = 2 * time.Second

func (s *server) settleLocked() {
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
	if !s.wanted || s.closed {
		s.http, s.https = shut(s.http), shut(s.https)
		s.problem = ""
		return
	}
	s.problem = ""
	s.http = s.openLocked(s.http, s.ports.HTTP, false)
	s.https = s.openLocked(s.https, s.ports.HTTPS, true)
	if s.https != nil {
		s.controller.proxy.httpsPort.Store(int32(s.https.port))
	}
	if s.http == nil || !s.http.preferred || s.https == nil || !s.https.preferred {
		s.retry = time.AfterFunc(retryEvery, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.settleLocked()
		})
	}
}

// openLocked opens the best port that can be had, and keeps the one that is open when there is no better.
func (s *server) openLocked(have *door, ports []uint16, secure bool) *door {
	for i, port := range ports {
		if have != nil && have.port == port {
			return have
		}
		listeners, err := s.listen(port)
		if err != nil {
			if i == 0 {
				s.problem = fmt.Sprintf("port %d: %v", port, err)
			}
			continue
		}
		shut(have)
		d := &door{port: port, preferred: i == 0, server: s.newHTTP(secure)}
		for _, l := range listeners {
			go d.serve(l, secure)
		}
		s.log.Info("Ingresses are served", "port", port, "tls", secure)
		s.controller.poke() // the status of the Ingresses says where
		return d
	}
	return have
}

// listen opens a port on all addresses or on none. An address that this machine does not have is left out.
func (s *server) listen(port uint16) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, addr := range s.controller.cfg.Bind {
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

func (s *server) newHTTP(secure bool) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(secure)
	// gRPC without TLS.
	protocols.SetUnencryptedHTTP2(!secure)
	return &http.Server{
		Handler: s.controller.proxy, Protocols: protocols,
		ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		TLSConfig: &tls.Config{GetCertificate: s.controller.cert},
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

func (d *door) serve(l net.Listener, secure bool) {
	if secure {
		_ = d.server.ServeTLS(l, "", "")
		return
	}
	_ = d.server.Serve(l)
}

// drainTime is how long requests may take when a port closes.
const drainTime = 2 * time.Second

func shut(d *door) *door {
	if d != nil {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), drainTime)
			defer cancel()
			if d.server.Shutdown(ctx) != nil {
				d.server.Close()
			}
		}()
	}
	return nil
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.settleLocked()
	s.controller.proxy.pool.close()
}

func (s *server) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Problem: s.problem}
	if s.http != nil {
		st.HTTP = s.http.port
	}
	if s.https != nil {
		st.HTTPS = s.https.port
	}
	return st
}
