package apiserver

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"

	"skiff.local/skiff/local/apiserver/pki"
	"skiff.local/skiff/local/store"
)

// makeServer makes a server on a store in dir; it does not serve yet. A documented one still
// knows how its routes are described.
func makeServer(ctx context.Context, dir string, documented bool, change func(*Config)) (*Server, error) {
	bundle, err := pki.Ensure(filepath.Join(dir, "pki"), pki.Options{})
	if err != nil {
		return nil, err
	}
	db, err := store.Open(store.Options{Path: filepath.Join(dir, "state.db")})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	cfg := Config{
		Store:         db,
		Listener:      l,
		PKI:           bundle,
		ServiceSubnet: netip.MustParsePrefix("10.244.128.0/17"),
		ClusterDNS:    netip.MustParseAddr("10.244.128.10"),
		Reachable:     netip.MustParseAddrPort("10.244.127.254:6443"),
		Logger:        slog.New(slog.DiscardHandler),
	}
	change(&cfg)
	if documented {
		return newDocumented(ctx, cfg)
	}
	return New(ctx, cfg)
}
