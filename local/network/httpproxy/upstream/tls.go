package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// configOf is what to speak TLS with to the endpoints of a backend; nil trusts any.
func configOf(b *routing.BackendTLS) *tls.Config {
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
		c.InsecureSkipVerify, c.VerifyConnection = true, func(state tls.ConnectionState) error { return verify(b, state) }
	}
	return c
}

// verify verifies a certificate by its alternative names.
func verify(b *routing.BackendTLS, state tls.ConnectionState) error {
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
