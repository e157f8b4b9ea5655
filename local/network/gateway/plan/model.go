package plan

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/gateway/rules"
	"skiff.local/skiff/local/network/httpproxy/routing"
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

// Services answers what planning must know about Services.
type Services interface {
	ingress.Services
	// AppProtocol is what a Service says that a port of it speaks; "" for nothing.
	AppProtocol(key relayproto.Key, port uint16) string
	// PortName is a port's name; "" when it has none.
	PortName(key relayproto.Key, port uint16) string
}

// Objects is what there is of the Gateway API. They are not changed.
type Objects struct {
	Classes    []*gatewayv1.GatewayClass
	Gateways   []*gatewayv1.Gateway
	HTTPRoutes []*gatewayv1.HTTPRoute
	GRPCRoutes []*gatewayv1.GRPCRoute
	TLSRoutes  []*gatewayv1.TLSRoute
	Sets       []*gatewayv1.ListenerSet
	Policies   []*gatewayv1.BackendTLSPolicy
	Grants     []*gatewayv1.ReferenceGrant
}

// Surroundings is what planning must know besides.
type Surroundings struct {
	Services Services
	// Labels are a namespace's.
	Labels func(namespace string) map[string]string
	// Certificate reads a Secret.
	Certificate func(namespace, name string) (*tls.Certificate, error)
	// Authorities reads the certificates of authorities, in PEM, from a ConfigMap.
	Authorities func(namespace, name string) (string, error)
	// Address is a Gateway's own; zero for none. It is asked for every Gateway that is served.
	Address func(gw *gatewayv1.Gateway) netip.Addr
	// Sets is whether there can be ListenerSets.
	Sets bool
}

// A Plan is what follows from Objects: what is served, and what to say about it.
type Plan struct {
	attachable bool                      // there can be ListenerSets
	classes    []*gatewayv1.GatewayClass // ours
	gateways   []*gateway
	sets       []*listenerSet
	routes     []*route
	policies   []*policy
}

// A gateway is one Gateway, compiled.
type gateway struct {
	object    *gatewayv1.Gateway
	own       netip.Addr
	shared    string      // how the addresses that all Gateways share are called in its status
	trouble   *verdict    // why it is not accepted at all
	unusable  string      // an address that it asks for and can't have
	listeners []*listener // its own, then those of its ListenerSets
	identity  *identity   // what it shows to backends
}

// A listenerSet is one ListenerSet of a Gateway, compiled.
type listenerSet struct {
	object    *gatewayv1.ListenerSet
	gateway   *gateway
	trouble   *verdict // why it is not accepted at all
	listeners []*listener
}

// A listener is one of a Gateway's or a ListenerSet's, compiled.
type listener struct {
	gateway   *gateway
	set       *listenerSet // nil for the Gateway's own
	spec      *gatewayv1.Listener
	host      string
	kinds     []gatewayv1.RouteGroupKind
	accepted  verdict
	conflict  verdict
	resolved  verdict
	certs     map[string]*tls.Certificate
	clients   *clients
	routes    []*routing.Route
	attached  map[any]bool // by route object
	displaced *listener    // who has its place on the shared addresses, for something else
}

// owner is the object that a listener is written in.
func (l *listener) owner() (kind string, object metav1.Object) {
	if l.set != nil {
		return "ListenerSet", l.set.object
	}
	return "Gateway", l.gateway.object
}

func (l *listener) secure() bool {
	return l.spec.Protocol == gatewayv1.HTTPSProtocolType || l.stream()
}

// stream reports whether connections are carried as they are, and not read as HTTP.
func (l *listener) stream() bool { return l.spec.Protocol == gatewayv1.TLSProtocolType }

// terminates reports whether TLS ends here.
func (l *listener) terminates() bool {
	return l.secure() && (l.spec.TLS == nil || text(l.spec.TLS.Mode, "") != string(gatewayv1.TLSModePassthrough))
}

// passes reports whether TLS is passed on as it is.
func (l *listener) passes() bool { return l.stream() && !l.terminates() }

// served reports whether requests are taken.
func (l *listener) served() bool {
	return l.gateway.trouble == nil && l.gateway.unusable == "" && l.accepted.ok && (!l.terminates() || len(l.certs) > 0) && len(l.kinds) > 0
}

func (l *listener) offer() ingress.Listener {
	_, owner := l.owner()
	o := ingress.Listener{
		Name: owner.GetNamespace() + "/" + owner.GetName() + "/" + string(l.spec.Name),
		Port: uint16(l.spec.Port), Own: l.gateway.own, Alone: l.displaced != nil, Secure: l.secure(), Routes: l.routes, Host: l.host,
		Stream: l.stream(), Terminate: l.terminates(), Certificates: l.certs,
	}
	if l.clients != nil {
		o.Clients = &l.clients.Clients
	}
	return o
}

// A route is an HTTPRoute, GRPCRoute or TLSRoute, compiled.
type route struct {
	object Object
	kind   gatewayv1.Kind
	spec   *gatewayv1.CommonRouteSpec
	hosts  []gatewayv1.Hostname
	status *gatewayv1.RouteStatus // as the object has it

	references *references
	rules      *rules.Rules
	passed     *rules.Rules // of a TLSRoute, for listeners that pass TLS on
	parents    []parent
}

// rulesFor are those that a listener goes by.
func (r *route) rulesFor(l *listener) *rules.Rules {
	if l.passes() {
		return r.passed
	}
	return r.rules
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
