package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// store reads and writes the files of one directory as of one moment.
type store struct {
	dir string
	now time.Time
}

// signer is an authority with its parsed halves.
type signer struct {
	Pair
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (s store) pairFiles(name string) Pair {
	return Pair{CertFile: filepath.Join(s.dir, name+".crt"), KeyFile: filepath.Join(s.dir, name+".key")}
}

// read returns the pair called name; it reports fs.ErrNotExist when either half is missing.
func (s store) read(name string) (Pair, *x509.Certificate, *ecdsa.PrivateKey, error) {
	p := s.pairFiles(name)
	var err error
	if p.Cert, err = os.ReadFile(p.CertFile); err != nil {
		return p, nil, nil, fmt.Errorf("read certificate: %w", err)
	}
	if p.Key, err = os.ReadFile(p.KeyFile); err != nil {
		return p, nil, nil, fmt.Errorf("read key: %w", err)
	}
	cert, err := parseCert(p.Cert)
	if err != nil {
		return p, nil, nil, fmt.Errorf("parse certificate %s: %w", p.CertFile, err)
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return p, nil, nil, fmt.Errorf("parse key %s: %w", p.KeyFile, err)
	}
	return p, cert, key, nil
}

func (s store) authority(name, commonName string) (*signer, error) {
	p, cert, key, err := s.read(name)
	if err == nil && s.now.Before(cert.NotAfter) {
		return &signer{p, cert, key}, nil
	}
	// A damaged authority is not replaced silently: every kubeconfig in use would stop working without a word.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	tmpl := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotAfter:              s.now.Add(authorityLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		DNSNames:              []string{commonName},
	}
	p, cert, key, err = s.issue(name, tmpl, nil)
	if err != nil {
		return nil, err
	}
	return &signer{p, cert, key}, nil
}

func (s store) leaf(ca *signer, name string, tmpl *x509.Certificate) (Pair, error) {
	p, cert, key, err := s.read(name)
	if err == nil && covers(cert, tmpl, s.now) && cert.CheckSignatureFrom(ca.cert) == nil && key.PublicKey.Equal(cert.PublicKey) {
		return p, nil
	}
	tmpl.NotAfter = s.now.Add(leafLifetime)
	if tmpl.NotAfter.After(ca.cert.NotAfter) {
		tmpl.NotAfter = ca.cert.NotAfter
	}
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	p, _, _, err = s.issue(name, tmpl, ca)
	return p, err
}

// issue makes a key, has ca (or the key itself) sign tmpl, and writes both files.
func (s store) issue(name string, tmpl *x509.Certificate, ca *signer) (Pair, *x509.Certificate, *ecdsa.PrivateKey, error) {
	fail := func(err error) (Pair, *x509.Certificate, *ecdsa.PrivateKey, error) {
		return Pair{}, nil, nil, fmt.Errorf("issue certificate %s: %w", name, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	if tmpl.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return fail(err)
	}
	// An hour of slack, because a virtual machine's clock may lag behind its host's.
	tmpl.NotBefore = s.now.Add(-time.Hour)
	parent, parentKey := tmpl, key
	if ca != nil {
		parent, parentKey = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), parentKey)
	if err != nil {
		return fail(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(err)
	}
	p := s.pairFiles(name)
	p.Cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if p.Key, err = encodeKey(key); err != nil {
		return fail(err)
	}
	// A crash between the two writes leaves halves that don't match; leaf notices and issues both anew.
	if err := writeFile(p.KeyFile, p.Key); err != nil {
		return fail(err)
	}
	if err := writeFile(p.CertFile, p.Cert); err != nil {
		return fail(err)
	}
	return p, cert, key, nil
}

func (s store) signingKey(name string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(s.dir, name+".key")
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		key, err := parseKey(b)
		if err != nil {
			return nil, fmt.Errorf("parse key %s: %w", path, err)
		}
		return key, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	if b, err = encodeKey(key); err != nil {
		return nil, fmt.Errorf("encode key %s: %w", path, err)
	}
	if err := writeFile(path, b); err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	return key, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// writeFile replaces path in one step, readable by its owner only.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Chmod(0o600); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		f.Close()
		return err
	}
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
