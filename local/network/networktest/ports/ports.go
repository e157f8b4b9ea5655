// Package ports finds ports of this machine for tests: such that are free to be listened at, and such that refuse. A
// listener that was opened at port 0 and closed again leaves neither: its port is the next program's or, worse, the next
// listener's of the same test.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
)

// Free ports are looked for below those that systems give to whoever asks for any (from 32768 on Linux), and below
// Kubernetes' node ports, so that only a program that wants this very one can take it.
const first, end = 10000, 30000

// Free is a port that nothing on this machine listens at, by TCP or by UDP.
func Free(t testing.TB) uint16 {
	t.Helper()
	var err error
	for range 100 {
		port := uint16(first + rand.IntN(end-first))
		if err = probe(port); err == nil {
			return port
		}
	}
	t.Fatalf("find a free port: a hundred were tried, the last with: %v", err)
	return 0
}

func probe(port uint16) error {
	at := fmt.Sprintf(":%d", port)
	stream, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	defer stream.Close()
	packets, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	return packets.Close()
}

// Refusing is an address that refuses connections until the test ends: a client has it, so nobody can listen there.
func Refusing(t testing.TB) netip.AddrPort {
	t.Helper()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	client, err := net.Dial("tcp4", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client.LocalAddr().(*net.TCPAddr).AddrPort()
}
