package rules

import (
	"strings"
	"time"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// HTTP are the rules of an HTTPRoute.
func HTTP(r *gatewayv1.HTTPRoute, resolve Resolve) *Rules {
	out := &Rules{count: len(r.Spec.Rules)}
	for i := range r.Spec.Rules {
		rule := &r.Spec.Rules[i]
		t := routing.Route{Owner: "HTTPRoute " + r.Namespace + "/" + r.Name, AnyDepth: true}
		before := len(out.unsupported)
		f := filters{resolve: resolve, route: &t, rules: out}
		f.http(rule.Filters)
		if rule.Timeouts != nil {
			t.Timeout, t.EndpointTimeout = duration(rule.Timeouts.Request), duration(rule.Timeouts.BackendRequest)
		}
		if t.Redirect == nil {
			refs := make([]backend, len(rule.BackendRefs))
			for i, b := range rule.BackendRefs {
				refs[i] = backend{b.BackendRef, f.share(func(f *filters) { f.http(b.Filters) })}
			}
			choose(&t, refs, resolve)
		}
		addMatches(out, t, before, rule.Matches, httpMatch)
	}
	return out
}

// httpMatch makes a rule match what one of its matches says.
func httpMatch(t *routing.Route, m gatewayv1.HTTPRouteMatch) error {
	t.Kind, t.Path = routing.PathElement, "/"
	if m.Path != nil {
		t.Path = ptr.Deref(m.Path.Value, "/")
		switch ptr.Deref(m.Path.Type, gatewayv1.PathMatchPathPrefix) {
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
		if err := add(&d.Headers, string(h.Name), h.Value, string(ptr.Deref(h.Type, "")), strings.EqualFold); err != nil {
			return err
		}
	}
	for _, q := range m.QueryParams {
		if err := add(&d.Queries, string(q.Name), q.Value, string(ptr.Deref(q.Type, "")), func(a, b string) bool { return a == b }); err != nil {
			return err
		}
	}
	if d.Method != "" || len(d.Headers)+len(d.Queries) > 0 {
		t.Demand = &d
	}
	return nil
}

func duration(d *gatewayv1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	v, _ := time.ParseDuration(string(*d)) // its form is validated by the API
	return v
}
