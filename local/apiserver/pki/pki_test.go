package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func ensure(t *testing.T, dir string, opts Options) *Bundle {
	t.Helper()
	b, err := Ensure(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnsureKeepsWhatIsStillGood(t *testing.T) {
	dir := t.TempDir()
	first := ensure(t, dir, Options{})
	second := ensure(t, dir, Options{})
	for name, pair := range map[string][2]Pair{
		"ca": {first.CA, second.CA}, "serving": {first.Serving, second.Serving}, "admin": {first.Admin, second.Admin},
		"proxy ca": {first.ProxyCA, second.ProxyCA}, "proxy": {first.Proxy, second.Proxy},
	} {
		if !bytes.Equal(pair[0].Cert, pair[1].Cert) || !bytes.Equal(pair[0].Key, pair[1].Key) {
			t.Errorf("%s: replaced although it was good", name)
		}
	}
	if !first.ServiceAccountKey.Equal(second.ServiceAccountKey) {
		t.Error("service account key: replaced, so that every token handed out became invalid")
	}
}

func TestEnsureRenewsLeavesAndKeepsTheAuthority(t *testing.T) {
	dir := t.TempDir()
	first := ensure(t, dir, Options{})
	later := time.Now().Add(leafLifetime - renewBefore/2)
	second := ensure(t, dir, Options{Now: func() time.Time { return later }})
	if !bytes.Equal(first.CA.Cert, second.CA.Cert) {
		t.Error("the authority was replaced")
	}
	if bytes.Equal(first.Admin.Cert, second.Admin.Cert) || bytes.Equal(first.Serving.Cert, second.Serving.Cert) {
		t.Error("a leaf that expires soon was kept")
	}
}

func TestEnsureCoversNewNames(t *testing.T) {
	dir := t.TempDir()
	first := ensure(t, dir, Options{})
	second := ensure(t, dir, Options{Names: []string{"box.local"}, IPs: []net.IP{net.ParseIP("10.244.128.1")}})
	if bytes.Equal(first.Serving.Cert, second.Serving.Cert) {
		t.Fatal("the serving certificate was kept although it lacks a name")
	}
	cert, err := parseCert(second.Serving.Cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(second.CA.Cert)
	for _, name := range []string{"box.local", "localhost", "kubernetes.default.svc.cluster.local", "127.0.0.1", "::1", "10.244.128.1"} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("serving certificate for %s: %v", name, err)
		}
	}
	if bytes.Equal(first.Serving.Key, second.Serving.Key) || !bytes.Equal(first.Admin.Cert, second.Admin.Cert) {
		t.Error("more or less than the serving pair was replaced")
	}
}

func TestEnsureReplacesAPairWhoseHalvesDoNotMatch(t *testing.T) {
	dir := t.TempDir()
	first := ensure(t, dir, Options{})
	if err := os.WriteFile(first.Admin.KeyFile, first.Serving.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	second := ensure(t, dir, Options{})
	if _, err := tls.X509KeyPair(second.Admin.Cert, second.Admin.Key); err != nil {
		t.Fatalf("admin pair after a crash between the two writes: %v", err)
	}
}

func TestEnsureRefusesADamagedAuthority(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, Options{})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(dir, Options{}); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Fatalf("Ensure with a damaged authority: got %v, want an error that names the file", err)
	}
}

func TestKeysAreReadableByTheirOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	b := ensure(t, dir, Options{})
	for _, f := range []string{b.CA.KeyFile, b.Serving.KeyFile, b.Admin.KeyFile, b.Proxy.KeyFile, b.ServiceAccountKeyFile} {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			t.Errorf("%s: mode %v", f, st.Mode())
		}
	}
}
