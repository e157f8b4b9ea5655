package httpproxy

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/httpproxy/forward"
	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/httpproxy/upstream"
	"skiff.local/skiff/local/network/relayproto"
)

// Config says what a Server works with.
type Config struct {
	// Backends are a Service port's endpoints, the ones to use now.
	Backends func(service relayproto.Key, port uint16) []netip.AddrPort
	Dial     upstream.Dial
	// Pod is the name of the pod behind an endpoint, "" when there is none; nil when nobody knows.
	Pod func(service relayproto.Key, addr netip.Addr) string
	// Bind are the addresses to listen on; Ports the ports, DefaultPorts when zero.
	Bind      []netip.Addr
	Ports     Ports
	AccessLog io.Writer // nil for none
	// Changed is called when a port was opened or closed. It must not block.
	Changed func()
	Logger  *slog.Logger
}

// Ports are where the web's own ports are served: the first port of each list that can be opened.
type Ports struct {
	HTTP, HTTPS []uint16
}

// DefaultPorts are the web's own, and where they may not or can't be opened, the documented ones to fall back on.
func DefaultPorts() Ports {
	return Ports{HTTP: []uint16{80, 8080, 7080}, HTTPS: []uint16{443, 8443, 7443}}
}

// The web's own ports.
const (
	HTTPPort  = 80
	HTTPSPort = 443
)

// candidates are the ports that one may be served on, best first.
func (p Ports) candidates(port uint16) []uint16 {
	switch port {
	case HTTPPort:
		return p.HTTP
	case HTTPSPort:
		return p.HTTPS
	}
	return []uint16{port}
}

// A Status is where the web's own ports are served.
type Status struct {
	HTTP, HTTPS uint16    // 0 while nothing needs them, or none can be opened
	Problems    []Problem // the preferred ports that could not be opened
}

// A Problem is a port that can't be opened.
type Problem struct {
	Port uint16
	Err  error
}

func (p Problem) String() string {
	if p.Err == nil {
		return ""
	}
	return fmt.Sprintf("port %d: %v", p.Port, p.Err)
}

// A Place is a port as it was asked for: on the addresses that all share, or on one of somebody's own.
type Place struct {
	Own  netip.Addr // zero for the shared addresses
	Port uint16
}

// An Offer is what is to be served at a place.
type Offer struct {
	Secure       bool
	Table        *routing.Table
	Certificates *Certificates // when Secure
	// Names, when Secure, are by host pattern; "" for any host.
	Names map[string]*Name
}

// A Server keeps a port open for every offer.
type Server struct {
	cfg   Config
	log   *slog.Logger
	ports Ports
	pool  *upstream.Pool
	proxy *forward.Proxy
	// accessLog is the proxy's too.
	accessLog *accesslog.Log

	mu       sync.Mutex
	offers   map[Place]Offer   // guarded by mu
	doors    map[Place]*door   // guarded by mu
	problems map[Place]Problem // guarded by mu
	retry    *time.Timer       // guarded by mu
	closed   bool              // guarded by mu
}

// NewServer returns a server that has no port open yet.
func NewServer(cfg Config) *Server {
	s := &Server{
		cfg: cfg, log: cfg.Logger, ports: cfg.Ports, doors: map[Place]*door{},
		pool: upstream.New(cfg.Dial, cfg.Backends), accessLog: accesslog.New(cfg.AccessLog, cfg.Pod),
	}
	s.proxy = forward.New(s.pool, s.accessLog)
	if len(s.ports.HTTP) == 0 {
		s.ports = DefaultPorts()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Offer serves these and nothing else.
func (s *Server) Offer(offers map[Place]Offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers = offers
	s.settleLocked()
}

// retryEvery is how often ports that could not be opened are tried again.
const retryEvery = 2 * time.Second

func (s *Server) settleLocked() {
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
	s.problems = map[Place]Problem{}
	changed := false
	for at, d := range s.doors {
		if o, wanted := s.offers[at]; !wanted || s.closed || o.Secure != d.secure {
			d.shut()
			delete(s.doors, at)
			changed = true
		}
	}
	if s.closed {
		return
	}
	again := false
	for _, at := range s.orderLocked() {
		if s.openLocked(at, s.offers[at]) {
			changed = true
		}
		again = again || s.problems[at].Err != nil
	}
	if again {
		s.retry = time.AfterFunc(retryEvery, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.settleLocked()
		})
	}
	if changed {
		s.cfg.Changed()
	}
}

// orderLocked puts the ports that have nothing to fall back on first: they must not find theirs taken by a fallback.
func (s *Server) orderLocked() []Place {
	var order []Place
	for at := range s.offers {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b Place) int {
		return cmp.Or(cmp.Compare(len(s.ports.candidates(a.Port)), len(s.ports.candidates(b.Port))), cmp.Compare(a.Port, b.Port), a.Own.Compare(b.Own))
	})
	return order
}

// openLocked opens the best port that can be had, and keeps the one that is open when there is no better. It reports
// whether anything was opened.
func (s *Server) openLocked(at Place, o Offer) bool {
	have := s.doors[at]
	if have != nil {
		have.set(o)
	}
	for i, port := range s.ports.candidates(at.Port) {
		if have != nil && have.port == port {
			return false
		}
		if i == 0 {
			s.yieldLocked(at, port)
		}
		d, err := s.open(at, port, o)
		if err != nil {
			if i == 0 {
				s.problems[at] = Problem{port, err}
			}
			continue
		}
		if have != nil {
			have.shut()
		}
		s.doors[at] = d
		s.log.Info("HTTP is served", "port", port, "tls", o.Secure, "address", at.Own)
		return true
	}
	return false
}

// yieldLocked closes a door that is only for want of a better port where another one belongs.
func (s *Server) yieldLocked(at Place, port uint16) {
	for other, d := range s.doors {
		if other != at && other.Own == at.Own && d.port == port {
			d.shut()
			delete(s.doors, other)
		}
	}
}

// served is where a port that was asked for is to be found.
func (s *Server) served(own netip.Addr, port int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.doors[Place{own, uint16(port)}]; d != nil {
		return int(d.port)
	}
	return port
}

// Close closes all ports; requests that are being served may end.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.settleLocked()
	s.pool.Close()
}

// Status reports where the web's own ports are served.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	web, tls := Place{Port: HTTPPort}, Place{Port: HTTPSPort}
	var st Status
	for _, at := range []Place{web, tls} {
		if p := s.problems[at]; p.Err != nil {
			st.Problems = append(st.Problems, p)
		}
	}
	if d := s.doors[web]; d != nil {
		st.HTTP = d.port
	}
	if d := s.doors[tls]; d != nil {
		st.HTTPS = d.port
	}
	return st
}

// Forget tells which endpoints a Service still has, so that connections to others are not used again. When it returns, no
// new request goes to those.
func (s *Server) Forget(service relayproto.Key, still []netip.AddrPort) {
	s.pool.Forget(service, still)
}

// At reports which port serves what was asked for, 0 for none, and why it is not that very port.
func (s *Server) At(p Place) (port uint16, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.doors[p]; d != nil {
		port = d.port
	}
	return port, s.problems[p].String()
}
