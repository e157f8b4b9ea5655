package gateway

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/ingress"
	"skiff.local/skiff/local/network/relayproto"
)

// ClassName is the GatewayClass that skiff serves, and ControllerName its controller.
const (
	ClassName      = "skiff"
	ControllerName = "skiff.local/gateway"
)

// The names of this machine's own address.
const (
	localhost = "localhost"
	localIP   = "127.0.0.1"
)

// Services answers what compiling must know about Services.
type Services interface {
	ingress.Services
	// AppProtocol is what a Service says that a port of it speaks; "" for nothing.
	AppProtocol(key relayproto.Key, port uint16) string
}

// objects is what there is to compile. Gateways are those of our classes.
type objects struct {
	gateways   []*gatewayv1.Gateway
	httpRoutes []*gatewayv1.HTTPRoute
	grpcRoutes []*gatewayv1.GRPCRoute
	grants     []*gatewayv1.ReferenceGrant
}

// surroundings is what compiling must know besides.
type surroundings struct {
	services Services
	// labels are a namespace's.
	labels func(namespace string) map[string]string
	// certificate reads a Secret.
	certificate func(namespace, name string) (*tls.Certificate, error)
	// address is a Gateway's own; zero for none.
	address func(gw *gatewayv1.Gateway) netip.Addr
}

// compiled is what follows from objects.
type compiled struct {
	gateways []*gateway
	routes   []*route
}

// A gateway is one Gateway, compiled.
type gateway struct {
	object    *gatewayv1.Gateway
	own       netip.Addr
	shared    string   // how the addresses that all Gateways share are called in its status
	trouble   *verdict // why it is not accepted at all
	unusable  string   // an address that it asks for and can't have
	listeners []*listener
}

// A listener is one of a Gateway's, compiled.
type listener struct {
	gateway  *gateway
	spec     *gatewayv1.Listener
	host     string
	kinds    []gatewayv1.RouteGroupKind
	accepted verdict
	conflict verdict
	resolved verdict
	certs    map[string]*tls.Certificate
	routes   []*httpproxy.Route
	attached map[any]bool // by route object
}

func (l *listener) secure() bool { return l.spec.Protocol == gatewayv1.HTTPSProtocolType }

// served reports whether requests are taken.
func (l *listener) served() bool {
	return l.gateway.trouble == nil && l.gateway.unusable == "" && l.accepted.ok && (!l.secure() || len(l.certs) > 0) && len(l.kinds) > 0
}

func (l *listener) offer() ingress.Listener {
	return ingress.Listener{
		Port: uint16(l.spec.Port), Own: l.gateway.own, Secure: l.secure(), Routes: l.routes, Hosts: []string{l.host}, Certificates: l.certs,
	}
}

// A route is an HTTPRoute or GRPCRoute, compiled.
type route struct {
	object  metav1.Object
	kind    gatewayv1.Kind
	status  *gatewayv1.RouteStatus // as the object has it
	parents []parent
}

// A parent is what became of a route at one of its parents.
type parent struct {
	ref      gatewayv1.ParentReference
	accepted verdict
	resolved verdict
	partial  string // what of it is left out
}

// A verdict is a condition's status, reason and message.
type verdict struct {
	ok      bool
	reason  string
	message string
}

func good[R ~string](reason R) verdict { return verdict{ok: true, reason: string(reason)} }

func bad[R ~string](reason R, message string) verdict {
	return verdict{reason: string(reason), message: message}
}

// oldestFirst sorts as the Gateway API breaks ties.
func oldestFirst[T metav1.Object](list []T) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b T) int {
		return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return list
}

func text[T ~string](p *T, otherwise string) string {
	if p == nil {
		return otherwise
	}
	return string(*p)
}
