package ingress

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Ports are where Ingresses are served: the first port of each list that can be opened.
type Ports struct {
	HTTP, HTTPS []uint16
}

// DefaultPorts are the web's own, and where they may not or can't be opened, the documented ones to fall back on.
func DefaultPorts() Ports {
	return Ports{HTTP: []uint16{80, 8080, 7080}, HTTPS: []uint16{443, 8443, 7443}}
}

// The ports that Ingresses are meant to be served on.
const (
	httpPort  = 80
	httpsPort = 443
)

// candidates are the ports that one may be served on, best first.
func (p Ports) candidates(port uint16) []uint16 {
	switch port {
	case httpPort:
		return p.HTTP
	case httpsPort:
		return p.HTTPS
	}
	return []uint16{port}
}

// A Status is where Ingresses are served.
type Status struct {
	HTTP, HTTPS uint16 // 0 while nothing needs them, or none can be opened
	Problem     string // why the preferred port is not served
}

// A place is a port as it was asked for: on the addresses that all share, or on one of somebody's own.
type place struct {
	own  netip.Addr // zero for the shared addresses
	port uint16
}

// An offer is what is to be served at a place.
type offer struct {
	secure bool
	table  *Table
	certs  *certificates
}

// A server keeps a door open for every offer.
type server struct {
	controller *Controller
	log        *slog.Logger
	ports      Ports

	mu       sync.Mutex
	offers   map[place]offer  // guarded by mu
	doors    map[place]*door  // guarded by mu
	problems map[place]string // guarded by mu
	retry    *time.Timer      // guarded by mu
	closed   bool             // guarded by mu
}

func newServer(c *Controller) *server {
	s := &server{controller: c, log: c.cfg.Logger, ports: c.cfg.Ports, doors: map[place]*door{}}
	if len(s.ports.HTTP) == 0 {
		s.ports = DefaultPorts()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// offer serves these and nothing else.
func (s *server) offer(offers map[place]offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers = offers
	s.settleLocked()
}

// retryEvery is how often ports that could not be opened are tried again.
const retryEvery = 2 * time.Second

func (s *server) settleLocked() {
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
	s.problems = map[place]string{}
	changed := false
	for at, d := range s.doors {
		if o, wanted := s.offers[at]; !wanted || s.closed || o.secure != d.secure {
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
		again = again || s.problems[at] != ""
	}
	if again {
		s.retry = time.AfterFunc(retryEvery, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.settleLocked()
		})
	}
	if changed {
		s.controller.poke() // what is served where is in the status of objects
		s.controller.served()
	}
}

// orderLocked puts the ports that have nothing to fall back on first: they must not find theirs taken by a fallback.
func (s *server) orderLocked() []place {
	var order []place
	for at := range s.offers {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b place) int {
		return cmp.Or(cmp.Compare(len(s.ports.candidates(a.port)), len(s.ports.candidates(b.port))), cmp.Compare(a.port, b.port), a.own.Compare(b.own))
	})
	return order
}

// openLocked opens the best port that can be had, and keeps the one that is open when there is no better. It reports
// whether anything was opened.
func (s *server) openLocked(at place, o offer) bool {
	have := s.doors[at]
	if have != nil {
		have.set(o)
	}
	for i, port := range s.ports.candidates(at.port) {
		if have != nil && have.port == port {
			return false
		}
		if i == 0 {
			s.yieldLocked(at, port)
		}
		d, err := s.open(at, port, o)
		if err != nil {
			if i == 0 {
				s.problems[at] = fmt.Sprintf("port %d: %v", port, err)
			}
			continue
		}
		if have != nil {
			have.shut()
		}
		s.doors[at] = d
		s.log.Info("Ingresses are served", "port", port, "tls", o.secure, "address", at.own)
		return true
	}
	return false
}

// yieldLocked closes a door that is only for want of a better port where another one belongs.
func (s *server) yieldLocked(at place, port uint16) {
	for other, d := range s.doors {
		if other != at && other.own == at.own && d.port == port {
			d.shut()
			delete(s.doors, other)
		}
	}
}

// served is where a port that was asked for is to be found.
func (s *server) served(own netip.Addr, port int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.doors[place{own, uint16(port)}]; d != nil {
		return int(d.port)
	}
	return port
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
	web, tls := place{port: httpPort}, place{port: httpsPort}
	st := Status{Problem: cmp.Or(s.problems[tls], s.problems[web])}
	if d := s.doors[web]; d != nil {
		st.HTTP = d.port
	}
	if d := s.doors[tls]; d != nil {
		st.HTTPS = d.port
	}
	return st
}

// at reports which port serves what was asked for, 0 for none, and why it is not that very port.
func (s *server) at(p place) (port uint16, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.doors[p]; d != nil {
		port = d.port
	}
	return port, s.problems[p]
}
