package plan

import (
	"fmt"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/gateway/rules"
	"skiff.local/skiff/local/network/ingress"
)

// Make decides what is served of what there is. It has no effect but through the surroundings.
func Make(o Objects, s Surroundings) *Plan {
	c := &compiler{
		Surroundings: s, grants: o.Grants, byName: map[string]*gateway{}, sets: map[string]*listenerSet{}, policies: map[target][]*policy{},
		out: &Plan{attachable: s.Sets},
	}
	ours := map[gatewayv1.ObjectName]bool{}
	for _, class := range o.Classes {
		if class.Spec.ControllerName == ControllerName {
			ours[gatewayv1.ObjectName(class.Name)] = true
			c.out.classes = append(c.out.classes, class)
		}
	}
	for _, p := range oldestFirst(o.Policies) {
		c.policy(p)
	}
	for _, gw := range oldestFirst(o.Gateways) {
		if !ours[gw.Spec.GatewayClassName] || gw.DeletionTimestamp != nil {
			continue
		}
		g := c.gateway(gw)
		c.out.gateways = append(c.out.gateways, g)
		c.byName[gw.Namespace+"/"+gw.Name] = g
	}
	for _, set := range oldestFirst(o.Sets) {
		c.listenerSet(set)
	}
	for _, r := range oldestFirst(o.HTTPRoutes) {
		refs := c.referencesOf(kindHTTP, r.Namespace)
		c.attach(&route{
			object: r, kind: kindHTTP, spec: &r.Spec.CommonRouteSpec, hosts: r.Spec.Hostnames, status: &r.Status.RouteStatus,
			references: refs, rules: rules.HTTP(r, refs.secured),
		})
	}
	for _, r := range oldestFirst(o.GRPCRoutes) {
		refs := c.referencesOf(kindGRPC, r.Namespace)
		c.attach(&route{
			object: r, kind: kindGRPC, spec: &r.Spec.CommonRouteSpec, hosts: r.Spec.Hostnames, status: &r.Status.RouteStatus,
			references: refs, rules: rules.GRPC(r, refs.secured),
		})
	}
	for _, r := range oldestFirst(o.TLSRoutes) {
		refs := c.referencesOf(kindTLS, r.Namespace)
		c.attach(&route{
			object: r, kind: kindTLS, spec: &r.Spec.CommonRouteSpec, hosts: r.Spec.Hostnames, status: &r.Status.RouteStatus,
			// What is passed on is the client's and the backend's own affair.
			references: refs, rules: rules.TLS(r, refs.secured), passed: rules.TLS(r, refs.plain),
		})
	}
	c.out.share()
	return c.out
}

// The kinds of routes that are served.
const (
	kindHTTP gatewayv1.Kind = "HTTPRoute"
	kindGRPC gatewayv1.Kind = "GRPCRoute"
	kindTLS  gatewayv1.Kind = "TLSRoute"
)

type compiler struct {
	Surroundings
	grants   []*gatewayv1.ReferenceGrant
	byName   map[string]*gateway
	sets     map[string]*listenerSet
	policies map[target][]*policy // oldest first
	age      int
	out      *Plan
}

// Listeners are what the proxy is to serve, the oldest Gateway's first.
func (p *Plan) Listeners() []ingress.Listener {
	var list []ingress.Listener
	for _, g := range p.gateways {
		for _, l := range g.listeners {
			if l.served() {
				list = append(list, l.offer())
			}
		}
	}
	return list
}

// attach puts a route's rules on the listeners of its parents that take it.
func (c *compiler) attach(r *route) {
	c.age++
	partial := ""
	if without := r.rules.Partial(); without != "" {
		partial = "Dropped Rule: " + without
	}
	for _, ref := range r.spec.ParentRefs {
		g, set := c.parentOf(ref, r.object.GetNamespace())
		if g == nil {
			continue
		}
		p := parent{ref: ref, resolved: r.references.resolved, partial: partial}
		p.accepted = c.attachTo(g, set, r, ref)
		r.parents = append(r.parents, p)
	}
	c.out.routes = append(c.out.routes, r)
}

// parentOf is the Gateway that a reference is to, and the ListenerSet of it; no Gateway when it is none of ours.
func (c *compiler) parentOf(ref gatewayv1.ParentReference, namespace string) (*gateway, *listenerSet) {
	if text(ref.Group, gatewayv1.GroupName) != gatewayv1.GroupName {
		return nil, nil
	}
	name := text(ref.Namespace, namespace) + "/" + string(ref.Name)
	switch text(ref.Kind, "Gateway") {
	case "Gateway":
		return c.byName[name], nil
	case "ListenerSet":
		if set := c.sets[name]; set != nil {
			return set.gateway, set
		}
	}
	return nil, nil
}

func (c *compiler) attachTo(g *gateway, set *listenerSet, r *route, ref gatewayv1.ParentReference) verdict {
	name := fmt.Sprintf("gateway %s/%s", g.object.Namespace, g.object.Name)
	if g.trouble != nil {
		return bad(gatewayv1.RouteReasonPending, fmt.Sprintf("%s is not accepted: %s", name, g.trouble.message))
	}
	if set != nil {
		name = fmt.Sprintf("listenerset %s/%s", set.object.Namespace, set.object.Name)
		if set.trouble != nil {
			return bad(gatewayv1.RouteReasonPending, fmt.Sprintf("%s is not accepted: %s", name, set.trouble.message))
		}
	}
	named := matching(g.listeners, func(l *listener) bool {
		return l.set == set && (ref.SectionName == nil || *ref.SectionName == l.spec.Name) && (ref.Port == nil || *ref.Port == l.spec.Port) && l.accepted.ok
	})
	if len(named) == 0 {
		return bad(gatewayv1.RouteReasonNoMatchingParent, name+" has no such listener")
	}
	open := matching(named, func(l *listener) bool { return c.allows(l, r) })
	if len(open) == 0 {
		return bad(gatewayv1.RouteReasonNotAllowedByListeners, fmt.Sprintf(
			"no listener of %s takes a %s of namespace %s", name, r.kind, r.object.GetNamespace()))
	}
	any := false
	for _, l := range open {
		hosts := intersect(l.host, r.hosts)
		if len(hosts) == 0 {
			continue
		}
		any = true
		l.attached[r.object] = true
		if !l.passes() {
			for _, p := range r.references.policies {
				p.usedBy(g)
			}
		}
		for _, host := range hosts {
			if g.mostSpecific(l.spec.Port, host) == l {
				l.routes = append(l.routes, g.identity.shownBy(r.rulesFor(l).At(host, c.age))...)
			}
		}
	}
	if !any {
		return bad(gatewayv1.RouteReasonNoMatchingListenerHostname, "none of its hostnames is among those of "+name)
	}
	if why := r.rules.Useless(); why != "" {
		return bad(gatewayv1.RouteReasonUnsupportedValue, why)
	}
	return good(gatewayv1.RouteReasonAccepted)
}

func matching(list []*listener, is func(*listener) bool) []*listener {
	var out []*listener
	for _, l := range list {
		if is(l) {
			out = append(out, l)
		}
	}
	return out
}

// intersect is the hostnames that both a listener and a route have; "" is every host.
func intersect(listener string, hostnames []gatewayv1.Hostname) []string {
	if len(hostnames) == 0 {
		return []string{listener}
	}
	var hosts []string
	for _, h := range hostnames {
		host := strings.ToLower(string(h))
		switch {
		case covers(listener, host):
			hosts = append(hosts, host)
		case covers(host, listener):
			hosts = append(hosts, listener)
		}
	}
	return hosts
}

// covers reports whether a pattern has every host that another one, or a host, has.
func covers(pattern, host string) bool {
	if pattern == "" || pattern == host {
		return true
	}
	rest, wild := strings.CutPrefix(pattern, "*")
	return wild && host != "" && strings.HasSuffix(strings.TrimPrefix(host, "*"), rest) && len(host) > len(rest)
}

// mostSpecific is the listener that has the say about a host on a port.
func (g *gateway) mostSpecific(port gatewayv1.PortNumber, host string) *listener {
	var best *listener
	for _, l := range g.listeners {
		if l.spec.Port != port || !l.accepted.ok || !covers(l.host, host) {
			continue
		}
		if best == nil || covers(best.host, l.host) {
			best = l
		}
	}
	return best
}
