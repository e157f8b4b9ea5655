package rules

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// TLS are the rules of a TLSRoute: where connections go, by nothing but the name that a client asks for.
func TLS(r *gatewayv1.TLSRoute, resolve Resolve) *Rules {
	out := &Rules{count: len(r.Spec.Rules)}
	for i := range r.Spec.Rules {
		t := routing.Route{Owner: "TLSRoute " + r.Namespace + "/" + r.Name}
		refs := make([]backend, len(r.Spec.Rules[i].BackendRefs))
		for i, b := range r.Spec.Rules[i].BackendRefs {
			refs[i] = backend{ref: b}
		}
		choose(&t, refs, resolve)
		out.templates = append(out.templates, t)
	}
	return out
}
