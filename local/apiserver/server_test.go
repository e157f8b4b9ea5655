package apiserver

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"skiff.local/skiff/local/apiserver/pki"
	"skiff.local/skiff/local/store"
)

// newTestServer makes a server on a store of its own; it does not serve yet.
func newTestServer(t *testing.T) *Server {
	t.Helper()
	dir := t.TempDir()
	bundle, err := pki.Ensure(dir, pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(store.Options{Path: filepath.Join(dir, "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s, err := New(ctx, Config{
		Store:         db,
		Listener:      l,
		PKI:           bundle,
		ServiceSubnet: netip.MustParsePrefix("10.244.128.0/17"),
		ClusterDNS:    netip.MustParseAddr("10.244.128.10"),
		Reachable:     netip.MustParseAddrPort("10.244.127.254:6443"),
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
