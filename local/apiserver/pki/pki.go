// Package pki keeps the certificates and keys of one local cluster: who the API server is, who its
// administrator is, and what signs service-account tokens. It exists so that the kubeconfig can be
// the only key to a cluster: everything is made on the machine, readable by its owner alone.
//
// All keys are ECDSA P-256; making an RSA key would cost a third of the whole start.
package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// authorityLifetime and leafLifetime are chosen like kubeadm's.
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour
	// renewBefore leaves a cluster that is started once a quarter with valid certificates.
	renewBefore = 90 * 24 * time.Hour

	// AdminUser and AdminGroup are the subject of the administrator's certificate. The group is the one
	// that Kubernetes never refuses anything.
	AdminUser  = "kubernetes-admin"
	AdminGroup = "system:masters"
	// ProxyUser is the only name that extension API servers accept forwarded identities from.
	ProxyUser = "front-proxy-client"
)

// Pair is a certificate with its private key, both PEM, and the files that hold them.
type Pair struct {
	Cert, Key         []byte
	CertFile, KeyFile string
}

// Bundle is everything the cluster proves or checks an identity with.
type Bundle struct {
	// CA signs the serving and client certificates, and those that CertificateSigningRequests ask for.
	CA Pair
	// Serving is what the API server shows to its clients.
	Serving Pair
	// Admin is the client certificate of the kubeconfig.
	Admin Pair
	// ProxyCA signs Proxy only: with the cluster's own CA, anyone whose signing request is approved
	// could pose as the proxy.
	ProxyCA Pair
	// Proxy is what the API server shows to extension API servers.
	Proxy Pair
	// ServiceAccountKey signs the tokens of service accounts.
	ServiceAccountKey     *ecdsa.PrivateKey
	ServiceAccountKeyFile string
}

// Options say by which names and addresses the API server is reached, beside the loopback addresses
// and its names in the cluster, which are always included.
type Options struct {
	Names []string
	IPs   []net.IP
	// ClusterDomain defaults to cluster.local.
	ClusterDomain string
	// Now defaults to time.Now.
	Now func() time.Time
}

// Ensure returns the bundle kept in dir, and makes whatever is missing, expires within the next quarter or
// does not cover the wanted names. An existing authority or token key is never replaced unless it has
// expired: that would invalidate every kubeconfig and token handed out.
func Ensure(dir string, opts Options) (*Bundle, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.ClusterDomain == "" {
		opts.ClusterDomain = "cluster.local"
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create certificate directory: %w", err)
	}
	s := store{dir: dir, now: opts.Now()}
	ca, err := s.authority("ca", "kubernetes")
	if err != nil {
		return nil, err
	}
	proxyCA, err := s.authority("front-proxy-ca", "front-proxy-ca")
	if err != nil {
		return nil, err
	}
	b := &Bundle{CA: ca.Pair, ProxyCA: proxyCA.Pair}
	if b.Serving, err = s.leaf(ca, "apiserver", servingTemplate(opts)); err != nil {
		return nil, err
	}
	if b.Admin, err = s.leaf(ca, "admin", clientTemplate(AdminUser, AdminGroup)); err != nil {
		return nil, err
	}
	if b.Proxy, err = s.leaf(proxyCA, "front-proxy-client", clientTemplate(ProxyUser)); err != nil {
		return nil, err
	}
	b.ServiceAccountKeyFile = filepath.Join(dir, "sa.key")
	if b.ServiceAccountKey, err = s.signingKey("sa"); err != nil {
		return nil, err
	}
	return b, nil
}

func servingTemplate(opts Options) *x509.Certificate {
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + opts.ClusterDomain}
	ips := []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	for _, n := range opts.Names {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, ip := range opts.IPs {
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		if !slices.ContainsFunc(ips, ip.Equal) {
			ips = append(ips, ip)
		}
	}
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names,
		IPAddresses: ips,
	}
}

func clientTemplate(user string, groups ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// covers says whether the certificate that exists is as good as the wanted one.
func covers(have, want *x509.Certificate, now time.Time) bool {
	if now.Before(have.NotBefore) || have.NotAfter.Sub(now) < renewBefore {
		return false
	}
	if have.Subject.CommonName != want.Subject.CommonName || !slices.Equal(have.Subject.Organization, want.Subject.Organization) {
		return false
	}
	for _, n := range want.DNSNames {
		if !slices.Contains(have.DNSNames, n) {
			return false
		}
	}
	for _, ip := range want.IPAddresses {
		if !slices.ContainsFunc(have.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

var errNotPEM = errors.New("no PEM block of the expected type")

func parseCert(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errNotPEM
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "EC PRIVATE KEY" {
		return nil, errNotPEM
	}
	return x509.ParseECPrivateKey(block.Bytes)
}
