// Package authority is the certificate authority of this user's clusters: it signs for hosts of Ingresses and Gateways that
// have no Secret. All profiles share one, which outlives them, so that a person has to trust it only once.
package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// An Authority signs certificates. Its own one is kept in a folder, and a person may make the browser trust it.
type Authority struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu    sync.Mutex
	leafs map[string]*tls.Certificate // by host; guarded by mu
}

// The files of an Authority in its folder.
const (
	CertFile = "ingress-ca.crt"
	keyFile  = "ingress-ca.key" // with the certificate, so that both appear at once
)

// Lifetimes: the authority's is a person's, who should not have to trust it again soon; a leaf is made anew with every
// daemon. Browsers refuse leaves over 825 days.
const (
	life     = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
)

// Open reads the authority in dir, or makes one there. Two processes that do so at once get the same one.
func Open(dir string) (*Authority, error) {
	a, err := read(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil || time.Now().Before(a.Cert.NotAfter.Add(-leafLife)):
		return a, err
	default: // it ends soon
		if err := os.Remove(filepath.Join(dir, keyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("renew the local certificate authority: %w", err)
		}
	}
	if err := create(dir); err != nil {
		return nil, err
	}
	return read(dir)
}

func read(dir string) (*Authority, error) {
	path := filepath.Join(dir, keyFile)
	pair, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return nil, fmt.Errorf("read the local certificate authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the local certificate authority: its key is a %T", pair.PrivateKey)
	}
	a := &Authority{Cert: pair.Leaf, key: key, leafs: map[string]*tls.Certificate{}}
	// For people, and for what takes a file.
	path = filepath.Join(dir, CertFile)
	if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, a.PEM()) {
		if err := os.WriteFile(path, a.PEM(), 0o644); err != nil {
			return nil, fmt.Errorf("keep the local certificate authority: %w", err)
		}
	}
	return a, nil
}

// create makes an authority, unless another process has made one meanwhile.
func create(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "skiff local CA (" + host + ")", Organization: []string{"skiff"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life), IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make the local certificate authority: %w", err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), encode(der)...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the local certificate authority: %w", err)
	}
	file, err := os.CreateTemp(dir, keyFile+".*") // readable by its owner alone
	if err != nil {
		return fmt.Errorf("make the local certificate authority: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(both)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("keep the local certificate authority: %w", err)
	}
	if err := os.Link(file.Name(), filepath.Join(dir, keyFile)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keep the local certificate authority: %w", err)
	}
	return nil
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// PEM is the authority's certificate as its file has it.
func (a *Authority) PEM() []byte { return encode(a.Cert.Raw) }

// Leaf returns a certificate for a host.
func (a *Authority) Leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf := a.leafs[host]; leaf != nil && time.Now().Before(leaf.Leaf.NotAfter.Add(-24*time.Hour)) {
		return leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: host, Organization: []string{"skiff"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", host, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	leaf := &tls.Certificate{Certificate: [][]byte{der, a.Cert.Raw}, PrivateKey: key, Leaf: parsed}
	if len(a.leafs) > 1000 {
		clear(a.leafs) // somebody scans names; those in use are made again
	}
	a.leafs[host] = leaf
	return leaf, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return big.NewInt(time.Now().UnixNano())
	}
	return n
}
