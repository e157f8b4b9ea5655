package ingress

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/httpproxy/routing"
)

// A Listener is a port that somebody else than Ingresses wants served, by the same proxy: on the addresses that all
// share, together with Ingresses and other Listeners of that port, and on an address of its own, alone.
type Listener struct {
	Name   string // for the access log
	Port   uint16
	Own    netip.Addr // zero for none
	Alone  bool       // on its own address only
	Secure bool
	Routes []*routing.Route
	// Host is what it is responsible for although no Route may have it, as a pattern; "" for all hosts.
	Host string
	// Stream, when Secure, gives connections to the backends of Routes, by their hosts, instead of reading HTTP; Terminate
	// ends TLS here for them.
	Stream, Terminate bool
	// Clients, when Secure, are who may connect; nil for all.
	Clients *httpproxy.Clients
	// Certificates are by host pattern, "" for any host.
	Certificates map[string]*tls.Certificate
}

// Serve serves these Listeners besides Ingresses, and no others. Older ones come first: where two want different
// protocols on one port, the shared addresses speak the older one's. opened is called when the ports are open, as far as they
// can be had.
func (c *Controller) Serve(list []Listener, opened func()) {
	c.mu.Lock()
	c.listeners, c.waiting = list, append(c.waiting, opened)
	c.mu.Unlock()
	c.poke()
}

// A Serving is where a Listener is served.
type Serving struct {
	Shared  uint16 // the port of the shared addresses; 0 for none
	Own     bool   // on its own address
	Problem string // why it is not everywhere at the port that was asked for
	Pending bool   // it is not known everywhere yet
}

// Served reports where a Listener is served.
func (c *Controller) Served(l Listener) Serving {
	var s Serving
	at := func(p httpproxy.Place) uint16 {
		port, problem := c.server.At(p)
		s.Pending = s.Pending || port == 0 && problem == ""
		s.Problem = cmp.Or(s.Problem, problem)
		return port
	}
	if !l.Alone {
		s.Shared = at(httpproxy.Place{Port: l.Port})
	}
	if l.Own.IsValid() {
		s.Own = at(httpproxy.Place{Own: l.Own, Port: l.Port}) == l.Port
	}
	return s
}

// contents gathers what belongs on one port.
type contents struct {
	secure   bool
	http     bool // somebody wants HTTP served
	routes   []*routing.Route
	fallback *routing.Route
	hosts    []string
	certs    *httpproxy.Certificates
	names    map[string]*httpproxy.Name
}

func (c *Controller) newContents(secure bool) *contents {
	return &contents{secure: secure, certs: httpproxy.NewCertificates(c.cfg.Authority), names: map[string]*httpproxy.Name{}}
}

func (x *contents) offer() httpproxy.Offer {
	if x.secure && !x.http {
		x.name("", &httpproxy.Name{Stream: &httpproxy.Stream{}})
	}
	return httpproxy.Offer{Secure: x.secure, Table: routing.BuildTable(x.routes, x.fallback, x.hosts...), Certificates: x.certs, Names: x.names}
}

// name keeps what is already there.
func (x *contents) name(host string, n *httpproxy.Name) {
	if host = strings.ToLower(host); x.names[host] == nil {
		x.names[host] = n
	}
}

// ingresses adds what all Ingresses have.
func (x *contents) ingresses(routes []*routing.Route, fallback *routing.Route) {
	x.http, x.routes, x.fallback = true, slices.Clip(routes), fallback // two ports add to them
	for _, r := range routes {
		if r.Host != "" {
			x.name(r.Host, &httpproxy.Name{})
		}
	}
}

func (x *contents) add(l *Listener) {
	for host, cert := range l.Certificates {
		x.certs.Add(host, cert)
	}
	if !l.Stream {
		x.http, x.routes, x.hosts = true, append(x.routes, l.Routes...), append(x.hosts, l.Host)
		x.name(l.Host, &httpproxy.Name{Owner: "listener " + l.Host, Clients: l.Clients})
		return
	}
	for _, r := range l.Routes {
		x.name(r.Host, &httpproxy.Name{Owner: r.Owner, Stream: &httpproxy.Stream{Listener: l.Name, Route: r, Terminate: l.Terminate}})
	}
	if l.Host != "" {
		x.name(l.Host, &httpproxy.Name{Owner: "listener " + l.Host, Stream: &httpproxy.Stream{Listener: l.Name}})
	}
}

// take returns what Serve was given, and whom to tell when that is served.
func (c *Controller) take() (list []Listener, opened []func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, opened, c.waiting = c.listeners, c.waiting, nil
	return list, opened
}

// offers says what is to be served where.
func (c *Controller) offers(ours []*networkingv1.Ingress, routes []*routing.Route, fallback *routing.Route, certs *httpproxy.Certificates, list []Listener) map[httpproxy.Place]httpproxy.Offer {
	at := map[httpproxy.Place]*contents{}
	if len(ours) > 0 {
		for port, secure := range map[uint16]bool{httpproxy.HTTPPort: false, httpproxy.HTTPSPort: true} {
			x := c.newContents(secure)
			x.certs = certs
			x.ingresses(routes, fallback)
			at[httpproxy.Place{Port: port}] = x
		}
	}
	for i := range list {
		l := &list[i]
		var places []httpproxy.Place
		if !l.Alone {
			places = append(places, httpproxy.Place{Port: l.Port})
		}
		if l.Own.IsValid() {
			places = append(places, httpproxy.Place{Own: l.Own, Port: l.Port})
		}
		for _, p := range places {
			x := at[p]
			if x == nil {
				x = c.newContents(l.Secure)
				at[p] = x
			}
			if x.secure == l.Secure {
				x.add(l)
			}
		}
	}
	offers := map[httpproxy.Place]httpproxy.Offer{}
	for p, x := range at {
		offers[p] = x.offer()
	}
	return offers
}
