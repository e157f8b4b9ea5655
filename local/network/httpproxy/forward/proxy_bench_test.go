package forward

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/httpproxy/upstream"
	"skiff.local/skiff/local/network/relayproto"
)

// BenchmarkProxy measures requests on kept connections through the proxy to a server that does next to nothing. Client and
// server write and read bytes alone, so that what is measured is the proxy.
func BenchmarkProxy(b *testing.B) {
	log := accesslog.NewFile(filepath.Join(b.TempDir(), "access.log"))
	defer log.Close()
	front := inFrontOf(b, answering(b), log)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", front.Listener.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := io.WriteString(conn, "GET /a/b?c=d HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"); err != nil {
				b.Error(err)
				return
			}
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != http.StatusOK {
				b.Errorf("%v %v", res, err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
	})
}

// inFrontOf is a proxy that has one route, for the host shop.test.
func inFrontOf(t testing.TB, backend netip.AddrPort, log io.Writer) *httptest.Server {
	pool := upstream.New(func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr.String())
	}, func(relayproto.Key, uint16) []netip.AddrPort { return []netip.AddrPort{backend} })
	p := New(pool, accesslog.New(log, nil))
	table := routing.BuildTable([]*routing.Route{{
		Host: "shop.test", Kind: routing.PathElement, Path: "/", Backend: &routing.Backend{Port: 80, Protocol: routing.HTTP},
	}}, nil)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { p.Serve(w, req, table, entrance{}) }))
	t.Cleanup(func() { front.Close(); pool.Close() })
	return front
}

// entrance is port 80.
type entrance struct{}

func (entrance) Port() int           { return 80 }
func (entrance) Served(port int) int { return port }

// answering is a server that answers every request without a body alike.
func answering(b *testing.B) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n%s", strings.Repeat("x", 1024))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					line, err := in.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) <= 2 {
						if _, err := io.WriteString(conn, answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
