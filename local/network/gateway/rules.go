package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/relayproto"
)

// rules are a route's, not yet on any host.
type rules struct {
	templates   []routing.Route
	passed      []routing.Route // instead, where TLS is passed on: a TLSRoute's, without the policies of backends
	resolved    verdict
	count       int       // of rules
	dropped     int       // of them, those that ask for what is not served
	unsupported []string  // what that is
	policies    []*policy // of backends
}

// at are the rules on a host of a listener.
func (r rules) at(l *listener, host string, age int) []*routing.Route {
	templates := r.templates
	if l.passes() {
		templates = r.passed
	}
	list := make([]*routing.Route, len(templates))
	for i, t := range templates {
		// Routes of one object keep their order: the first of two equal ones has it.
		t.Host, t.Priority = host, age<<16+i
		list[i] = &t
	}
	return list
}

// useless reports whether no rule can be served as it is meant.
func (r rules) useless() bool { return r.count > 0 && r.dropped == r.count }

func (r rules) partial() string {
	if r.dropped == 0 || r.useless() {
		return ""
	}
	return "Dropped Rule: " + strings.Join(r.unsupported, "; ")
}

func (r *rules) unsupport(format string, args ...any) {
	r.unsupported = append(r.unsupported, fmt.Sprintf(format, args...))
}

// fail answers a rule's requests with an error: what is asked for must not be left out silently.
func fail(t *routing.Route, why string) {
	t.Unavailable, t.UnavailableCode = why, http.StatusInternalServerError
	t.Backend, t.Shares, t.Redirect, t.Mirrors = nil, nil, nil, nil
}

func (c *compiler) httpRules(r *gatewayv1.HTTPRoute) rules {
	out := rules{resolved: good(gatewayv1.RouteReasonResolvedRefs), count: len(r.Spec.Rules)}
	for i := range r.Spec.Rules {
		rule := &r.Spec.Rules[i]
		t := routing.Route{Owner: "HTTPRoute " + r.Namespace + "/" + r.Name, AnyDepth: true}
		before := len(out.unsupported)
		f := filters{compiler: c, namespace: r.Namespace, kind: kindHTTP, route: &t, rules: &out}
		f.http(rule.Filters)
		if rule.Timeouts != nil {
			t.Timeout, t.EndpointTimeout = duration(rule.Timeouts.Request), duration(rule.Timeouts.BackendRequest)
		}
		if t.Redirect == nil {
			refs := make([]backend, len(rule.BackendRefs))
			for i, b := range rule.BackendRefs {
				refs[i] = backend{b.BackendRef, f.share(func(f *filters) { f.http(b.Filters) })}
			}
			c.backends(&t, kindHTTP, r.Namespace, refs, c.secure, &out)
		}
		addMatches(&out, t, before, rule.Matches, httpMatch)
	}
	return out
}

// addMatches adds a rule for each of its matches, or for everything when it has none. before is how much was unsupported when
// the rule began: when there is more by now, requests are answered with what it is.
func addMatches[M any](out *rules, t routing.Route, before int, matches []M, match func(*routing.Route, M) error) {
	if len(matches) == 0 {
		matches = make([]M, 1)
	}
	first := len(out.templates)
	for _, m := range matches {
		t := t
		if err := match(&t, m); err != nil {
			out.unsupport("%v", err)
			continue
		}
		out.templates = append(out.templates, t)
	}
	if len(out.unsupported) > before {
		out.dropped++
		for i := range out.templates[first:] {
			fail(&out.templates[first+i], strings.Join(out.unsupported[before:], "; "))
		}
	}
}

func duration(d *gatewayv1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	v, _ := time.ParseDuration(string(*d)) // its form is validated by the API
	return v
}

// A backend is one that a rule refers to, with what its own filters change.
type backend struct {
	ref   gatewayv1.BackendRef
	share routing.Share
}

// A securing makes a backend's connections be what policies say. It returns nil and why when they can't be.
type securing func(b *routing.Backend, out *rules) (secured *routing.Backend, why string)

// backends gives a rule its backends.
func (c *compiler) backends(t *routing.Route, kind gatewayv1.Kind, namespace string, refs []backend, secure securing, out *rules) {
	total := 0
	for _, b := range refs {
		s := b.share
		s.Weight = 1
		if b.ref.Weight != nil {
			s.Weight = int(*b.ref.Weight)
		}
		found, v := c.backend(kind, namespace, b.ref.BackendObjectReference)
		if !v.ok {
			out.resolved, s.Unavailable = v, v.message
		} else {
			found, s.Unavailable = secure(found, out)
		}
		if s.Weight > 0 {
			total += s.Weight
			s.Backend = found
			t.Shares = append(t.Shares, s)
		}
	}
	switch {
	case total == 0:
		fail(t, "the rule has no backend")
	case len(t.Shares) == 1 && t.Shares[0].Request == nil && t.Shares[0].Response == nil:
		t.Backend, t.Unavailable, t.Shares = t.Shares[0].Backend, t.Shares[0].Unavailable, nil
	}
	t.UnavailableCode = http.StatusInternalServerError
}

func (c *compiler) backend(kind gatewayv1.Kind, namespace string, ref gatewayv1.BackendObjectReference) (*routing.Backend, verdict) {
	if text(ref.Group, "") != "" || text(ref.Kind, "Service") != "Service" {
		return nil, bad(gatewayv1.RouteReasonInvalidKind, fmt.Sprintf("backend %s is a %s, only Services are served", ref.Name, text(ref.Kind, "Service")))
	}
	key := relayproto.Key{Namespace: text(ref.Namespace, namespace), Name: string(ref.Name)}
	if key.Namespace != namespace && !c.granted(string(kind), namespace, "Service", key.Namespace, key.Name) {
		return nil, bad(gatewayv1.RouteReasonRefNotPermitted, fmt.Sprintf(
			"no ReferenceGrant of namespace %s lets a %s of namespace %s use service %s", key.Namespace, kind, namespace, key.Name))
	}
	if ref.Port == nil {
		return nil, bad(gatewayv1.RouteReasonUnsupportedValue, fmt.Sprintf("backend %s names no port", ref.Name))
	}
	port, err := c.services.Port(key, uint16(*ref.Port), "")
	if err != nil {
		return nil, bad(gatewayv1.RouteReasonBackendNotFound, err.Error())
	}
	return &routing.Backend{Service: key, Port: port, Protocol: protocol(kind, c.services.AppProtocol(key, port))}, good(gatewayv1.RouteReasonResolvedRefs)
}

func protocol(kind gatewayv1.Kind, app string) routing.Protocol {
	switch app {
	case "kubernetes.io/h2c":
		return routing.GRPC
	case "kubernetes.io/wss", "https":
		return routing.HTTPS
	}
	if kind == kindGRPC {
		return routing.GRPC
	}
	return routing.HTTP
}

// httpMatch makes a rule match what one of its matches says.
func httpMatch(t *routing.Route, m gatewayv1.HTTPRouteMatch) error {
	t.Kind, t.Path = routing.PathElement, "/"
	if m.Path != nil {
		t.Path = text(m.Path.Value, "/")
		switch gatewayv1.PathMatchType(text(m.Path.Type, string(gatewayv1.PathMatchPathPrefix))) {
		case gatewayv1.PathMatchExact:
			t.Kind = routing.PathExact
		case gatewayv1.PathMatchPathPrefix:
			if len(t.Path) > 1 {
				t.Path = strings.TrimSuffix(t.Path, "/")
			}
		case gatewayv1.PathMatchRegularExpression:
			expression, err := whole(t.Path)
			if err != nil {
				return err
			}
			t.Kind, t.Regexp = routing.PathRegexp, expression
		}
	}
	var d routing.Demand
	if m.Method != nil {
		d.Method = string(*m.Method)
	}
	for _, h := range m.Headers {
		if err := add(&d.Headers, string(h.Name), h.Value, text(h.Type, ""), strings.EqualFold); err != nil {
			return err
		}
	}
	for _, q := range m.QueryParams {
		if err := add(&d.Queries, string(q.Name), q.Value, text(q.Type, ""), func(a, b string) bool { return a == b }); err != nil {
			return err
		}
	}
	if d.Method != "" || len(d.Headers)+len(d.Queries) > 0 {
		t.Demand = &d
	}
	return nil
}

// add adds a value that is demanded; of those with one name the first counts.
func add(list *[]routing.Value, name, value, kind string, same func(a, b string) bool) error {
	for _, have := range *list {
		if same(have.Name, name) {
			return nil
		}
	}
	v := routing.Value{Name: name, Text: value}
	if kind == "RegularExpression" {
		var err error
		if v.Pattern, err = whole(value); err != nil {
			return err
		}
	}
	*list = append(*list, v)
	return nil
}

// whole compiles an expression that must match all of a text.
func whole(expression string) (*regexp.Regexp, error) {
	r, err := regexp.Compile("^(?:" + expression + ")$")
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", expression, err)
	}
	return r, nil
}
