package ingress

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/relayproto"
)

// ClassName is the IngressClass that skiff serves, and ControllerName its controller.
const (
	ClassName      = "skiff"
	ControllerName = "skiff.local/ingress"
)

// A Finding is something about an Ingress that its author should know.
type Finding struct {
	Ingress *networkingv1.Ingress
	Reason  string
	Message string
}

// Services answers what compiling must know about Services.
type Services interface {
	// Port resolves a port of a Service by number, or by name when the number is 0.
	Port(key relayproto.Key, number uint16, name string) (uint16, error)
}

// compile turns Ingresses of our class into routes. It sorts its input by age, so that of two that want the same the
// older has it.
func compile(list []*networkingv1.Ingress, services Services) ([]*routing.Route, *routing.Route, []Finding) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	c := compiler{services: services, taken: map[string]*routing.Route{}}
	for i, ing := range list {
		c.age = i
		if a := annotationsOf(ing); !a.canary {
			c.ingress(ing, a)
		}
	}
	for _, ing := range list {
		if a := annotationsOf(ing); a.canary {
			c.canary(ing, a)
		}
	}
	return c.routes, cmp.Or(c.fallback, c.second), c.findings
}

type compiler struct {
	services Services
	age      int
	routes   []*routing.Route
	fallback *routing.Route
	second   *routing.Route            // the fallback, when there is no other
	taken    map[string]*routing.Route // by host, kind and path
	findings []Finding
}

func (c *compiler) find(ing *networkingv1.Ingress, reason, format string, args ...any) {
	c.findings = append(c.findings, Finding{Ingress: ing, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (c *compiler) ingress(ing *networkingv1.Ingress, a annotations) {
	for _, trouble := range a.trouble {
		c.find(ing, "Annotation", "%s", trouble)
	}
	tls := tlsHosts(ing)
	for _, rule := range ing.Spec.Rules {
		hosts := append([]string{strings.ToLower(rule.Host)}, a.aliases...)
		for _, host := range hosts {
			if rule.HTTP == nil {
				continue
			}
			for i := range rule.HTTP.Paths {
				c.path(ing, a, host, &rule.HTTP.Paths[i], tls)
			}
		}
	}
	if ing.Spec.DefaultBackend != nil {
		c.defaultBackend(ing, a)
	}
}

// defaultBackend serves what no path matches: on the hosts that the Ingress has rules for, as nginx has it, and on hosts
// that nobody has, as the API's reference has it; there an Ingress without rules comes first.
func (c *compiler) defaultBackend(ing *networkingv1.Ingress, a annotations) {
	if len(ing.Spec.Rules) == 0 {
		if c.fallback != nil {
			c.find(ing, "Conflict", "the default backend of ingress %s, which is older, is used", c.fallback.Owner)
			return
		}
		c.fallback = c.route(ing, a, ing.Spec.DefaultBackend)
		return
	}
	for _, rule := range ing.Spec.Rules {
		r := c.route(ing, a, ing.Spec.DefaultBackend)
		// Text is the least specific kind: any rule for / comes before it.
		r.Host, r.Kind, r.Path = strings.ToLower(rule.Host), routing.PathText, "/"
		c.routes = append(c.routes, r)
		c.second = cmp.Or(c.second, r)
	}
}

func (c *compiler) path(ing *networkingv1.Ingress, a annotations, host string, p *networkingv1.HTTPIngressPath, tls func(string) bool) {
	r := c.route(ing, a, &p.Backend)
	r.Host, r.Path = host, cmp.Or(p.Path, "/")
	switch kind := pathType(p); {
	case kind == networkingv1.PathTypeExact:
		r.Kind = routing.PathExact
	case a.regexps() && kind == networkingv1.PathTypeImplementationSpecific, a.useRegexp:
		expression, err := regexp.Compile("(?i)^" + r.Path)
		if err != nil {
			c.find(ing, "InvalidPath", "path %q is no regular expression: %v", r.Path, err)
			return
		}
		r.Kind, r.Regexp = routing.PathRegexp, expression
	case kind == networkingv1.PathTypePrefix:
		r.Kind = routing.PathElement
	default:
		r.Kind = routing.PathText
	}
	r.HTTPSRedirect = a.httpsRedirect(tls(host))
	id := fmt.Sprintf("%s %d %s", host, r.Kind, r.Path)
	if old := c.taken[id]; old != nil {
		if old.Owner != r.Owner {
			c.find(ing, "Conflict", "%s%s is served by ingress %s, which is older", cmp.Or(host, "*"), r.Path, old.Owner)
		}
		return
	}
	c.taken[id] = r
	c.routes = append(c.routes, r)
}

func (c *compiler) route(ing *networkingv1.Ingress, a annotations, b *networkingv1.IngressBackend) *routing.Route {
	r := &routing.Route{
		Owner: ing.Namespace + "/" + ing.Name, Priority: c.age, Rewrite: a.rewrite, Redirect: a.redirect, RootTo: a.appRoot,
		UpstreamHost: a.upstreamHost, StickyCookie: a.stickyCookie, CORS: a.cors,
	}
	backend, err := c.backend(ing, b, a.protocol)
	if err != nil {
		r.Unavailable = err.Error()
		if r.Redirect == nil {
			c.find(ing, "NoBackend", "%v", err)
		}
		return r
	}
	r.Backend = backend
	return r
}

func (c *compiler) backend(ing *networkingv1.Ingress, b *networkingv1.IngressBackend, protocol routing.Protocol) (*routing.Backend, error) {
	if b.Service == nil {
		return nil, fmt.Errorf("a backend that is a resource is not served, only Services are")
	}
	key := relayproto.Key{Namespace: ing.Namespace, Name: b.Service.Name}
	port, err := c.services.Port(key, uint16(b.Service.Port.Number), b.Service.Port.Name)
	if err != nil {
		return nil, err
	}
	return &routing.Backend{Service: key, Port: port, Protocol: protocol}, nil
}

// canary attaches an Ingress that is one to the routes it is a canary of.
func (c *compiler) canary(ing *networkingv1.Ingress, a annotations) {
	for _, trouble := range a.trouble {
		c.find(ing, "Annotation", "%s", trouble)
	}
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for i := range rule.HTTP.Paths {
			p := &rule.HTTP.Paths[i]
			backend, err := c.backend(ing, &p.Backend, a.protocol)
			if err != nil {
				c.find(ing, "NoBackend", "%v", err)
				continue
			}
			attached := false
			for _, r := range c.routes {
				if r.Host == strings.ToLower(rule.Host) && r.Path == cmp.Or(p.Path, "/") && strings.HasPrefix(r.Owner, ing.Namespace+"/") {
					canary := a.split
					canary.Backend = *backend
					r.Canaries = append(r.Canaries, canary)
					attached = true
				}
			}
			if !attached {
				c.find(ing, "NoMainIngress", "no other ingress of this namespace has %s%s, which this is a canary of", rule.Host, p.Path)
			}
		}
	}
}

func pathType(p *networkingv1.HTTPIngressPath) networkingv1.PathType {
	if p.PathType == nil {
		return networkingv1.PathTypeImplementationSpecific
	}
	return *p.PathType
}

// tlsHosts reports for which hosts an Ingress wants TLS.
func tlsHosts(ing *networkingv1.Ingress) func(host string) bool {
	return func(host string) bool {
		for _, t := range ing.Spec.TLS {
			if len(t.Hosts) == 0 {
				return true
			}
			for _, h := range t.Hosts {
				if hostCovers(strings.ToLower(h), host) {
					return true
				}
			}
		}
		return false
	}
}

// hostCovers reports whether a host as written in a rule, which may start with "*.", covers another.
func hostCovers(pattern, host string) bool {
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		_, after, found := strings.Cut(host, ".")
		return host == pattern || found && "."+after == rest
	}
	return pattern == host
}
