package plan

import (
	"cmp"
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/relayproto"
)

// references are those of one route to backends, and what came of them.
type references struct {
	*compiler
	kind      gatewayv1.Kind
	namespace string

	resolved verdict
	policies []*policy // of the backends
}

func (c *compiler) referencesOf(kind gatewayv1.Kind, namespace string) *references {
	return &references{compiler: c, kind: kind, namespace: namespace, resolved: good(gatewayv1.RouteReasonResolvedRefs)}
}

// plain finds a backend, whatever BackendTLSPolicies say.
func (r *references) plain(ref gatewayv1.BackendObjectReference) (found *routing.Backend, why string) {
	found, v := r.find(ref)
	if !v.ok {
		r.resolved = v
	}
	return found, v.message
}

// secured finds a backend whose connections are what BackendTLSPolicies say.
func (r *references) secured(ref gatewayv1.BackendObjectReference) (found *routing.Backend, why string) {
	b, why := r.plain(ref)
	if b == nil {
		return nil, why
	}
	t := target{b.Service.Namespace, b.Service.Name, r.Services.PortName(b.Service, b.Port)}
	list := slices.Clone(r.compiler.policies[t])
	if t.port != "" {
		t.port = ""
		list = append(list, r.compiler.policies[t]...)
	}
	if len(list) == 0 {
		return b, ""
	}
	r.policies = append(r.policies, list...)
	p := list[0]
	if p.tls == nil {
		return nil, fmt.Sprintf("the BackendTLSPolicy %s of service %s can't be followed: %s", p.object.Name, b.Service.Name, cmp.Or(p.resolved.message, p.accepted.message))
	}
	b.TLS = p.tls
	switch b.Protocol {
	case routing.HTTP:
		b.Protocol = routing.HTTPS
	case routing.GRPC:
		b.Protocol = routing.GRPCS
	}
	return b, ""
}

func (r *references) find(ref gatewayv1.BackendObjectReference) (*routing.Backend, verdict) {
	if text(ref.Group, "") != "" || text(ref.Kind, "Service") != "Service" {
		return nil, bad(gatewayv1.RouteReasonInvalidKind, fmt.Sprintf("backend %s is a %s, only Services are served", ref.Name, text(ref.Kind, "Service")))
	}
	key := relayproto.Key{Namespace: text(ref.Namespace, r.namespace), Name: string(ref.Name)}
	if key.Namespace != r.namespace && !r.granted(string(r.kind), r.namespace, "Service", key.Namespace, key.Name) {
		return nil, bad(gatewayv1.RouteReasonRefNotPermitted, fmt.Sprintf(
			"no ReferenceGrant of namespace %s lets a %s of namespace %s use service %s", key.Namespace, r.kind, r.namespace, key.Name))
	}
	if ref.Port == nil {
		return nil, bad(gatewayv1.RouteReasonUnsupportedValue, fmt.Sprintf("backend %s names no port", ref.Name))
	}
	port, err := r.Services.Port(key, uint16(*ref.Port), "")
	if err != nil {
		return nil, bad(gatewayv1.RouteReasonBackendNotFound, err.Error())
	}
	return &routing.Backend{Service: key, Port: port, Protocol: protocol(r.kind, r.Services.AppProtocol(key, port))}, good(gatewayv1.RouteReasonResolvedRefs)
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
