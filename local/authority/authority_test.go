package authority

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestAllWhoOpenItAtOnceHaveTheSameAuthority(t *testing.T) {
	dir := t.TempDir()
	var all [8]*Authority
	var done sync.WaitGroup
	for i := range all {
		done.Go(func() {
			var err error
			if all[i], err = Open(dir); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if t.Failed() {
		return
	}
	roots := x509.NewCertPool()
	roots.AddCert(all[0].Cert)
	for _, a := range all {
		leaf, err := a.Leaf("shop.localhost")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "shop.localhost"}); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("files: %v, %v", entries, err)
	}
}

func TestADamagedAuthorityIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("opened without a complaint")
	}
}
