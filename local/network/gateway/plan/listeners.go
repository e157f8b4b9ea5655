package plan

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// CertificateOption, as a TLS option with the value "local", stands for a certificate of the local authority where a
// listener names no Secret.
const CertificateOption = "skiff.local/certificate"

func (c *compiler) gateway(gw *gatewayv1.Gateway) *gateway {
	g := &gateway{object: gw, own: c.Address(gw), shared: localhost}
	g.checkAddresses()
	g.identity = c.identity(gw)
	for i := range gw.Spec.Listeners {
		c.listener(g, nil, &gw.Spec.Listeners[i])
	}
	return g
}

// listener adds a listener to those of a Gateway. set is the ListenerSet that it is of, nil for none.
func (c *compiler) listener(g *gateway, set *listenerSet, spec *gatewayv1.Listener) *listener {
	l := &listener{
		gateway: g, set: set, spec: spec, host: strings.ToLower(text(spec.Hostname, "")), attached: map[any]bool{},
		accepted: good(gatewayv1.ListenerReasonAccepted), conflict: verdict{reason: string(gatewayv1.ListenerReasonNoConflicts)},
		resolved: good(gatewayv1.ListenerReasonResolvedRefs),
	}
	l.checkProtocol()
	l.checkConflicts(g.listeners)
	l.checkKinds()
	if l.terminates() {
		c.readCertificates(l)
	}
	if l.spec.Protocol == gatewayv1.HTTPSProtocolType {
		c.readClients(l)
	}
	g.listeners = append(g.listeners, l)
	return l
}

// checkAddresses compares what a Gateway asks for with what it has: localhost, and one address of 127.0.0.0/8 of its own.
func (g *gateway) checkAddresses() {
	for _, a := range g.object.Spec.Addresses {
		kind := gatewayv1.AddressType(text(a.Type, string(gatewayv1.IPAddressType)))
		switch {
		case kind != gatewayv1.IPAddressType && kind != gatewayv1.HostnameAddressType:
			v := bad(gatewayv1.GatewayReasonUnsupportedAddress, fmt.Sprintf("addresses of the type %s are not served, only IPAddress and Hostname are", kind))
			g.trouble = &v
		case a.Value == localIP:
			g.shared = localIP
		case a.Value != "" && a.Value != localhost && a.Value != g.own.String():
			g.unusable = a.Value
		}
	}
}

func (l *listener) checkProtocol() {
	switch l.spec.Protocol {
	case gatewayv1.HTTPProtocolType, gatewayv1.TLSProtocolType:
	case gatewayv1.HTTPSProtocolType:
		if !l.terminates() {
			l.accepted = bad(gatewayv1.ListenerReasonUnsupportedValue, "HTTPS is always ended here, the mode Passthrough is for the protocol TLS")
		}
	default:
		l.accepted = bad(gatewayv1.ListenerReasonUnsupportedProtocol, fmt.Sprintf("the protocol %s is not served, only HTTP, HTTPS and TLS are", l.spec.Protocol))
	}
}

// checkConflicts compares with the listeners before: the first of those that can't be served together is. The names that
// clients ask for tell HTTPS and TLS apart on one port.
func (l *listener) checkConflicts(before []*listener) {
	if l.spec.Protocol == gatewayv1.UDPProtocolType {
		return
	}
	for _, other := range before {
		if other.spec.Port != l.spec.Port || !other.accepted.ok || l.conflict.ok {
			continue
		}
		switch {
		case other.spec.Protocol != l.spec.Protocol && !(other.secure() && l.secure()):
			l.conflict = good(gatewayv1.ListenerReasonProtocolConflict)
		case other.host == l.host:
			l.conflict = good(gatewayv1.ListenerReasonHostnameConflict)
		default:
			continue
		}
		l.conflict.message = fmt.Sprintf("the listener %s before it has port %d", other.spec.Name, l.spec.Port)
		l.accepted = bad(l.conflict.reason, l.conflict.message)
	}
}

func (l *listener) checkKinds() {
	group := gatewayv1.Group(gatewayv1.GroupName)
	possible := []gatewayv1.Kind{kindHTTP, kindGRPC}
	if l.stream() {
		possible = []gatewayv1.Kind{kindTLS}
	}
	l.kinds = []gatewayv1.RouteGroupKind{}
	if l.spec.AllowedRoutes == nil || len(l.spec.AllowedRoutes.Kinds) == 0 {
		if l.accepted.ok || l.conflict.ok {
			for _, kind := range possible {
				l.kinds = append(l.kinds, gatewayv1.RouteGroupKind{Group: &group, Kind: kind})
			}
		}
		return
	}
	for _, asked := range l.spec.AllowedRoutes.Kinds {
		if text(asked.Group, gatewayv1.GroupName) == gatewayv1.GroupName && slices.Contains(possible, asked.Kind) {
			l.kinds = append(l.kinds, gatewayv1.RouteGroupKind{Group: &group, Kind: asked.Kind})
			continue
		}
		l.resolved = bad(gatewayv1.ListenerReasonInvalidRouteKinds, fmt.Sprintf("routes of the kind %s are not served by listeners of the protocol %s", asked.Kind, l.spec.Protocol))
	}
}

// readCertificates reads what a listener shows: the first certificate for all of its hosts, others for those they name.
func (c *compiler) readCertificates(l *listener) {
	l.certs = map[string]*tls.Certificate{}
	if l.spec.TLS == nil {
		l.resolved = bad(gatewayv1.ListenerReasonInvalidCertificateRef, "no certificate is named")
		return
	}
	if l.spec.TLS.Options[CertificateOption] == "local" {
		l.certs[""] = nil // of the authority
	}
	for _, ref := range l.spec.TLS.CertificateRefs {
		kind, object := l.owner()
		cert, v := c.readCertificate(kind, object.GetNamespace(), ref)
		if !v.ok {
			l.resolved = v
			continue
		}
		if len(l.certs) == 0 {
			l.certs[l.host] = cert
		}
		for _, name := range namesOf(cert) {
			if _, taken := l.certs[name]; covers(l.host, name) && !taken {
				l.certs[name] = cert
			}
		}
	}
}

// readCertificate reads a Secret that an object of a kind and namespace refers to.
func (c *compiler) readCertificate(kind, namespace string, ref gatewayv1.SecretObjectReference) (*tls.Certificate, verdict) {
	if text(ref.Group, "") != "" || text(ref.Kind, "Secret") != "Secret" {
		return nil, bad(gatewayv1.ListenerReasonInvalidCertificateRef, fmt.Sprintf("a certificate can't be read from a %s", text(ref.Kind, "Secret")))
	}
	from := text(ref.Namespace, namespace)
	if from != namespace && !c.granted(kind, namespace, "Secret", from, string(ref.Name)) {
		return nil, bad(gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf(
			"no ReferenceGrant of namespace %s lets a %s of namespace %s use secret %s", from, kind, namespace, ref.Name))
	}
	cert, err := c.Certificate(from, string(ref.Name))
	if err != nil {
		return nil, bad(gatewayv1.ListenerReasonInvalidCertificateRef, fmt.Sprintf("secret %s/%s: %v", from, ref.Name, err))
	}
	return cert, good(gatewayv1.ListenerReasonResolvedRefs)
}

func namesOf(cert *tls.Certificate) []string {
	leaf := cert.Leaf
	if leaf == nil && len(cert.Certificate) > 0 {
		leaf, _ = x509.ParseCertificate(cert.Certificate[0])
	}
	if leaf == nil {
		return nil
	}
	return leaf.DNSNames
}

// allows reports whether a listener takes a route of this kind and namespace.
func (c *compiler) allows(l *listener, r *route) bool {
	allowed := false
	for _, k := range l.kinds {
		allowed = allowed || k.Kind == r.kind
	}
	if !allowed {
		return false
	}
	from, selector := gatewayv1.NamespacesFromSame, (*metav1.LabelSelector)(nil)
	if a := l.spec.AllowedRoutes; a != nil && a.Namespaces != nil && a.Namespaces.From != nil {
		from, selector = *a.Namespaces.From, a.Namespaces.Selector
	}
	_, owner := l.owner()
	return c.isFrom(from, selector, r.object.GetNamespace(), owner.GetNamespace())
}

// isFrom reports whether a namespace is among those that an object of namespace home takes something from.
func (c *compiler) isFrom(from gatewayv1.FromNamespaces, selector *metav1.LabelSelector, namespace, home string) bool {
	switch from {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return namespace == home
	case gatewayv1.NamespacesFromSelector:
		s, err := metav1.LabelSelectorAsSelector(selector)
		return err == nil && s.Matches(labels.Set(c.Labels(namespace)))
	}
	return false
}

// granted reports whether a namespace lets objects of another one refer to an object of the core group.
func (c *compiler) granted(fromKind, fromNamespace, toKind, namespace, name string) bool {
	for _, g := range c.grants {
		if g.Namespace != namespace {
			continue
		}
		from, to := false, false
		for _, f := range g.Spec.From {
			from = from || f.Group == gatewayv1.GroupName && string(f.Kind) == fromKind && string(f.Namespace) == fromNamespace
		}
		for _, t := range g.Spec.To {
			to = to || t.Group == "" && string(t.Kind) == toKind && (t.Name == nil || *t.Name == "" || string(*t.Name) == name)
		}
		if from && to {
			return true
		}
	}
	return false
}
