package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// tlsRules are a TLSRoute's: where connections go, by nothing but the name that a client asks for. Where a listener ends TLS, a
// BackendTLSPolicy says how it begins anew; what is passed on is the client's and the backend's own affair.
func (c *compiler) tlsRules(r *gatewayv1.TLSRoute) rules {
	out := rules{resolved: good(gatewayv1.RouteReasonResolvedRefs), count: len(r.Spec.Rules)}
	asItIs := func(b *routing.Backend, _ *rules) (*routing.Backend, string) { return b, "" }
	for i := range r.Spec.Rules {
		refs := make([]backend, len(r.Spec.Rules[i].BackendRefs))
		for i, b := range r.Spec.Rules[i].BackendRefs {
			refs[i] = backend{ref: b}
		}
		ended := routing.Route{Owner: "TLSRoute " + r.Namespace + "/" + r.Name}
		passed := ended
		c.backends(&ended, kindTLS, r.Namespace, refs, c.secure, &out)
		c.backends(&passed, kindTLS, r.Namespace, refs, asItIs, &out)
		out.templates, out.passed = append(out.templates, ended), append(out.passed, passed)
	}
	return out
}
