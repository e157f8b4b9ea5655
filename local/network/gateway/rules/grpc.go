package rules

import (
	"regexp"
	"strings"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// GRPC are the rules of a GRPCRoute.
func GRPC(r *gatewayv1.GRPCRoute, resolve Resolve) *Rules {
	out := &Rules{count: len(r.Spec.Rules)}
	for i := range r.Spec.Rules {
		rule := &r.Spec.Rules[i]
		t := routing.Route{Owner: "GRPCRoute " + r.Namespace + "/" + r.Name, AnyDepth: true}
		before := len(out.unsupported)
		f := filters{resolve: resolve, route: &t, rules: out}
		f.grpc(rule.Filters)
		refs := make([]backend, len(rule.BackendRefs))
		for i, b := range rule.BackendRefs {
			refs[i] = backend{b.BackendRef, f.share(func(f *filters) { f.grpc(b.Filters) })}
		}
		choose(&t, refs, resolve)
		addMatches(out, t, before, rule.Matches, grpcMatch)
	}
	return out
}

// grpcMatch makes a rule match what one of its matches says. A method is the path /service/method.
func grpcMatch(t *routing.Route, m gatewayv1.GRPCRouteMatch) error {
	t.Kind, t.Path = routing.PathElement, "/"
	if m.Method != nil {
		service, method := ptr.Deref(m.Method.Service, ""), ptr.Deref(m.Method.Method, "")
		exact := ptr.Deref(m.Method.Type, gatewayv1.GRPCMethodMatchExact) == gatewayv1.GRPCMethodMatchExact
		switch {
		case exact && service != "" && method != "":
			t.Kind, t.Path = routing.PathExact, "/"+service+"/"+method
		case exact && service != "":
			t.Path = "/" + service
		case service != "" || method != "":
			quote := func(s string) string { return s }
			if exact {
				quote = regexp.QuoteMeta
			}
			part := func(s string) string {
				if s == "" {
					return "[^/]+"
				}
				return "(?:" + quote(s) + ")"
			}
			expression, err := whole("/" + part(service) + "/" + part(method))
			if err != nil {
				return err
			}
			// As long as what is written, for the order among others.
			t.Kind, t.Path, t.Regexp = routing.PathRegexp, "/"+service+"/"+method, expression
		}
	}
	var d routing.Demand
	for _, h := range m.Headers {
		if err := add(&d.Headers, string(h.Name), h.Value, string(ptr.Deref(h.Type, "")), strings.EqualFold); err != nil {
			return err
		}
	}
	if len(d.Headers) > 0 {
		t.Demand = &d
	}
	return nil
}
