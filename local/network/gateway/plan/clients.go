package plan

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/httpproxy/routing"
)

// clients are who may connect to a listener.
type clients struct {
	httpproxy.Clients
	id string // the same for what is the same in content
}

func (c *clients) same(other *clients) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.id == other.id
}

// validation is what a Gateway asks of clients at a port; nil for nothing.
func validation(gw *gatewayv1.Gateway, port gatewayv1.PortNumber) *gatewayv1.FrontendTLSValidation {
	if gw.Spec.TLS == nil || gw.Spec.TLS.Frontend == nil {
		return nil
	}
	for _, p := range gw.Spec.TLS.Frontend.PerPort {
		if p.Port == port {
			return p.TLS.Validation
		}
	}
	return gw.Spec.TLS.Frontend.Default.Validation
}

// insecure reports whether a Gateway takes clients whose certificates it asked for and could not verify.
func insecure(gw *gatewayv1.Gateway) bool {
	if gw.Spec.TLS == nil || gw.Spec.TLS.Frontend == nil {
		return false
	}
	f := gw.Spec.TLS.Frontend
	yes := f.Default.Validation != nil && f.Default.Validation.Mode == gatewayv1.AllowInsecureFallback
	for _, p := range f.PerPort {
		yes = yes || p.TLS.Validation != nil && p.TLS.Validation.Mode == gatewayv1.AllowInsecureFallback
	}
	return yes
}

// readClients reads the authorities that vouch for a listener's clients. Without any, nobody could connect.
func (c *compiler) readClients(l *listener) {
	gw := l.gateway.object
	v := validation(gw, l.spec.Port)
	if v == nil {
		return
	}
	var all authorities
	for _, ref := range v.CACertificateRefs {
		namespace := text(ref.Namespace, gw.Namespace)
		if namespace != gw.Namespace && !c.granted("Gateway", gw.Namespace, string(ref.Kind), namespace, string(ref.Name)) {
			l.resolved = bad(gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf(
				"no ReferenceGrant of namespace %s lets Gateways of namespace %s use %s %s", namespace, gw.Namespace, ref.Kind, ref.Name))
			continue
		}
		switch err := all.read(c, string(ref.Group), string(ref.Kind), namespace, string(ref.Name)); {
		case errors.Is(err, errAuthorityKind):
			l.resolved = bad(gatewayv1.ListenerReasonInvalidCACertificateKind, err.Error())
		case err != nil:
			l.resolved = bad(gatewayv1.ListenerReasonInvalidCACertificateRef, err.Error())
		}
	}
	if all.roots == nil {
		l.accepted = bad(gatewayv1.ListenerReasonNoValidCACertificate, l.resolved.message)
		return
	}
	l.clients = &clients{
		Clients: httpproxy.Clients{Roots: all.roots, Optional: v.Mode == gatewayv1.AllowInsecureFallback},
		id:      fmt.Sprint(v.Mode, all.pem),
	}
}

// authorities are those that certificates are verified by.
type authorities struct {
	roots *x509.CertPool
	pem   string
}

// errAuthorityKind is the error of a reference to what can't hold authorities.
var errAuthorityKind = errors.New("authorities are read from ConfigMaps only")

func (a *authorities) read(c *compiler, group, kind, namespace, name string) error {
	if group != "" || kind != "ConfigMap" {
		return fmt.Errorf("%s %s: %w", kind, name, errAuthorityKind)
	}
	pem, err := c.Authorities(namespace, name)
	if err != nil {
		return fmt.Errorf("configmap %s/%s: %w", namespace, name, err)
	}
	roots := a.roots
	if roots == nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM([]byte(pem)) {
		return fmt.Errorf("configmap %s/%s: its key ca.crt has no certificate", namespace, name)
	}
	a.roots, a.pem = roots, a.pem+pem
	return nil
}

// An identity is the certificate that a Gateway shows to backends.
type identity struct {
	resolved verdict
	cert     *tls.Certificate // nil when it could not be read
	id       string
}

// identity is nil when a Gateway names no certificate.
func (c *compiler) identity(gw *gatewayv1.Gateway) *identity {
	if gw.Spec.TLS == nil || gw.Spec.TLS.Backend == nil || gw.Spec.TLS.Backend.ClientCertificateRef == nil {
		return nil
	}
	cert, v := c.readCertificate("Gateway", gw.Namespace, *gw.Spec.TLS.Backend.ClientCertificateRef)
	if v.reason == string(gatewayv1.ListenerReasonInvalidCertificateRef) {
		v.reason = string(gatewayv1.GatewayReasonInvalidClientCertificateRef)
	}
	i := &identity{resolved: v, cert: cert}
	if cert != nil && len(cert.Certificate) > 0 {
		i.id = fmt.Sprintf("%x", sha256.Sum256(cert.Certificate[0]))
	}
	return i
}

// shownBy makes routes show the identity to the backends that TLS is spoken to.
func (i *identity) shownBy(routes []*routing.Route) []*routing.Route {
	if i == nil || i.cert == nil {
		return routes
	}
	show := func(b *routing.Backend) *routing.Backend {
		if b == nil || b.TLS == nil {
			return b
		}
		shown, secure := *b, *b.TLS
		secure.Certificate, secure.ID = i.cert, secure.ID+i.id
		shown.TLS = &secure
		return &shown
	}
	for _, r := range routes {
		r.Backend = show(r.Backend)
		shares := make([]routing.Share, len(r.Shares))
		for n, s := range r.Shares {
			s.Backend = show(s.Backend)
			shares[n] = s
		}
		r.Shares = shares
		mirrors := make([]routing.Mirror, len(r.Mirrors))
		for n, m := range r.Mirrors {
			m.Backend = *show(&m.Backend)
			mirrors[n] = m
		}
		r.Mirrors = mirrors
	}
	return routes
}
