package ingress

import (
	"cmp"
	"crypto/tls"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"

	"skiff.local/skiff/local/network/httpproxy"
)

// A Listener is a port that somebody else than Ingresses wants served, by the same proxy: on the addresses that all
// share, together with Ingresses and other Listeners of that port, and on an address of its own, alone.
type Listener struct {
	Port   uint16
	Own    netip.Addr // zero for none
	Secure bool
	Routes []*httpproxy.Route
	// Hosts are those that it is responsible for although no Route may have them.
	Hosts []string
	// Certificates are by host pattern, "" for any host.
	Certificates map[string]*tls.Certificate
}

// Serve serves these Listeners besides Ingresses, and no others. Older ones come first: where two want different
// protocols on one port, the shared addresses speak the older one's.
func (c *Controller) Serve(list []Listener) {
	c.mu.Lock()
	c.listeners = list
	c.mu.Unlock()
	c.poke()
}

// Served reports which port serves a Listener's on the shared addresses, and whether its own address does; and if it is
// not everywhere the port that was asked for, why.
func (c *Controller) Served(l Listener) (shared uint16, own bool, problem string) {
	shared, problem = c.server.At(httpproxy.Place{Port: l.Port})
	if !l.Own.IsValid() {
		return shared, false, problem
	}
	at, trouble := c.server.At(httpproxy.Place{Own: l.Own, Port: l.Port})
	return shared, at == l.Port, cmp.Or(problem, trouble)
}

// contents gathers what belongs on one port.
type contents struct {
	secure   bool
	routes   []*httpproxy.Route
	fallback *httpproxy.Route
	hosts    []string
	certs    *httpproxy.Certificates
}

func (x *contents) offer() httpproxy.Offer {
	return httpproxy.Offer{Secure: x.secure, Table: httpproxy.BuildTable(x.routes, x.fallback, x.hosts...), Certificates: x.certs}
}

func (x *contents) add(l *Listener) {
	x.routes, x.hosts = append(x.routes, l.Routes...), append(x.hosts, l.Hosts...)
	for host, cert := range l.Certificates {
		x.certs.Add(host, cert)
	}
}

// offers says what is to be served where.
func (c *Controller) offers(ours []*networkingv1.Ingress, routes []*httpproxy.Route, fallback *httpproxy.Route, certs *httpproxy.Certificates) map[httpproxy.Place]httpproxy.Offer {
	at := map[httpproxy.Place]*contents{}
	if len(ours) > 0 {
		at[httpproxy.Place{Port: httpproxy.HTTPPort}] = &contents{routes: routes, fallback: fallback, certs: certs}
		at[httpproxy.Place{Port: httpproxy.HTTPSPort}] = &contents{secure: true, routes: routes, fallback: fallback, certs: certs}
	}
	c.mu.Lock()
	list := c.listeners
	c.mu.Unlock()
	for i := range list {
		l := &list[i]
		for _, p := range []httpproxy.Place{{Port: l.Port}, {Own: l.Own, Port: l.Port}} {
			x := at[p]
			if x == nil {
				x = &contents{secure: l.Secure, certs: httpproxy.NewCertificates(c.cfg.Authority)}
				at[p] = x
			}
			if x.secure == l.Secure {
				x.add(l)
			}
			if !l.Own.IsValid() {
				break
			}
		}
	}
	offers := map[httpproxy.Place]httpproxy.Offer{}
	for p, x := range at {
		offers[p] = x.offer()
	}
	return offers
}
