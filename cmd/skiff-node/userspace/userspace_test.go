package userspace

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"

	"skiff.local/skiff/local/network/relayproto"
)

func TestServicesAreForwardedWithoutTheKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems answer on 127.0.0.1 alone")
	}
	backend, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	service := netip.MustParseAddrPort("127.77.0.1:8080")
	f := New(netip.MustParseAddr("127.77.0.2"), nil)
	defer f.Close()
	key := relayproto.Key{Namespace: "default", Name: "web"}
	s := relayproto.Service{Key: key, ClusterIPs: []netip.Addr{service.Addr()}, Ports: []relayproto.Port{{
		Protocol: relayproto.TCP, Port: 8080, NodePort: 30080,
		Backends: []netip.AddrPort{backend.Addr().(*net.TCPAddr).AddrPort()},
	}}}
	ask := func(addr string) (string, error) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		body, err := io.ReadAll(c)
		return string(body), err
	}
	if err := f.Apply([]relayproto.Service{s}, nil, true); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{service.String(), "127.77.0.2:30080"} {
		if got, err := ask(addr); got != "hello" {
			t.Errorf("%s: %q, %v", addr, got, err)
		}
	}
	s.Ports[0].Backends = nil
	if err := f.Apply([]relayproto.Service{s}, nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(service.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("without endpoints: %v", err)
	}
	if err := f.Apply(nil, nil, true); err != nil || len(f.known) != 0 {
		t.Errorf("a full update without it leaves %v, %v", f.known, err)
	}
}
