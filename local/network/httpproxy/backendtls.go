package httpproxy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// BackendTLS says how endpoints prove who they are, and what they are shown.
type BackendTLS struct {
	// ID is different for what is different in content: connections of another ID are not used.
	ID         string
	ServerName string
	Roots      *x509.CertPool // nil for the system's
	// Names and URIs are subject alternative names of which a certificate must have one, instead of ServerName. A name may
	// begin with "*.".
	Names, URIs []string
	// Certificate is shown to endpoints that ask for one; it may be nil.
	Certificate *tls.Certificate
}

func (b *BackendTLS) config() *tls.Config {
	if b == nil {
		// As nginx does by default: a certificate inside the cluster is nobody's to verify.
		return &tls.Config{InsecureSkipVerify: true}
	}
	c := &tls.Config{ServerName: b.ServerName, RootCAs: b.Roots}
	if b.Certificate != nil {
		// Whatever authorities the endpoint names: who configures a certificate wants it shown.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return b.Certificate, nil }
	}
	if len(b.Names)+len(b.URIs) > 0 {
		c.InsecureSkipVerify, c.VerifyConnection = true, b.verify
	}
	return c
}

// verify verifies a certificate by its alternative names.
func (b *BackendTLS) verify(state tls.ConnectionState) error {
	leaf, between := state.PeerCertificates[0], x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: b.Roots, Intermediates: between}); err != nil {
		return err
	}
	named := func(name string) bool {
		if rest, wild := strings.CutPrefix(name, "*"); wild {
			return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.HasSuffix(strings.ToLower(n), strings.ToLower(rest)) })
		}
		return leaf.VerifyHostname(name) == nil
	}
	if slices.ContainsFunc(b.Names, named) {
		return nil
	}
	for _, uri := range leaf.URIs {
		if slices.Contains(b.URIs, uri.String()) {
			return nil
		}
	}
	return fmt.Errorf("the certificate has none of the names %s", strings.Join(append(slices.Clone(b.Names), b.URIs...), ", "))
}
