package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy"
)

// tlsRules are a TLSRoute's: where connections go, by nothing but the name that a client asks for.
func (c *compiler) tlsRules(r *gatewayv1.TLSRoute) rules {
	out := rules{resolved: good(gatewayv1.RouteReasonResolvedRefs), count: len(r.Spec.Rules)}
	for i := range r.Spec.Rules {
		t := httpproxy.Route{Owner: "TLSRoute " + r.Namespace + "/" + r.Name}
		refs := make([]backend, len(r.Spec.Rules[i].BackendRefs))
		for i, b := range r.Spec.Rules[i].BackendRefs {
			refs[i] = backend{ref: b}
		}
		c.backends(&t, kindTLS, r.Namespace, refs, &out)
		out.templates = append(out.templates, t)
	}
	return out
}
