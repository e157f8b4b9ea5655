package plan

import (
	"net/netip"
	"strings"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/relayproto"
)

// An Answer is where requests to a route are taken on this machine.
type Answer struct {
	Kind, Namespace, Name string // of the route
	Secure                bool
	Host                  string     // "" for any
	Own                   netip.Addr // of the Gateway, where only that is open; else zero
	Port                  uint16
	Path                  string           // what all paths that are taken begin with
	Services              []relayproto.Key // behind it
}

// Answers lists what is answered where, in the order of Gateways, listeners and routes.
func (p *Plan) Answers(at Served) []Answer {
	var list []Answer
	for _, g := range p.gateways {
		for _, l := range g.listeners {
			if !l.served() || l.stream() { // what a stream speaks is not known
				continue
			}
			is := at(l.offer())
			a := Answer{Secure: l.secure(), Port: is.Shared}
			if is.Shared == 0 {
				if !is.Own {
					continue
				}
				a.Own, a.Port = g.own, uint16(l.spec.Port)
			}
			for _, r := range l.routes {
				if a, ok := a.of(r); ok {
					list = append(list, a)
				}
			}
		}
	}
	return list
}

// of is the Answer with what a route says; false for a route that has nothing to answer with.
func (a Answer) of(r *routing.Route) (Answer, bool) {
	kind, object, _ := strings.Cut(r.Owner, " ")
	a.Kind = kind
	a.Namespace, a.Name, _ = strings.Cut(object, "/")
	a.Host, a.Path = r.Host, r.Path
	if r.Regexp != nil {
		a.Path = "/"
	}
	if r.Backend != nil {
		a.Services = append(a.Services, r.Backend.Service)
	}
	for _, s := range r.Shares {
		if s.Backend != nil {
			a.Services = append(a.Services, s.Backend.Service)
		}
	}
	return a, len(a.Services) > 0 || r.Redirect != nil
}
