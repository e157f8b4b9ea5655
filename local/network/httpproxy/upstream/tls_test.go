package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"skiff.local/skiff/local/network/httpproxy/certtest"
	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/relayproto"
)

func TestEndpointsProveWhoTheyAre(t *testing.T) {
	cert, roots := certtest.Signed(t, "web.test", "*.wild.test", "spiffe://test/web")
	_, others := certtest.Signed(t, "web.test")
	mine, clients := certtest.Signed(t, "proxy")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	server.StartTLS()
	defer server.Close()
	for name, c := range map[string]struct {
		tls  routing.BackendTLS
		want bool
	}{
		"by the name that is asked for": {routing.BackendTLS{ServerName: "web.test", Roots: roots, Certificate: &mine}, true},
		"another name":                  {routing.BackendTLS{ServerName: "else.test", Roots: roots, Certificate: &mine}, false},
		"another authority":             {routing.BackendTLS{ServerName: "web.test", Roots: others, Certificate: &mine}, false},
		"without showing a certificate": {routing.BackendTLS{ServerName: "web.test", Roots: roots}, false},
		"by an alternative name":        {routing.BackendTLS{ServerName: "else.test", Names: []string{"no.test", "web.test"}, Roots: roots, Certificate: &mine}, true},
		"by a pattern":                  {routing.BackendTLS{ServerName: "else.test", Names: []string{"*.test"}, Roots: roots, Certificate: &mine}, true},
		"by a URI":                      {routing.BackendTLS{ServerName: "else.test", URIs: []string{"spiffe://test/web"}, Roots: roots, Certificate: &mine}, true},
		"none of the alternative names": {routing.BackendTLS{ServerName: "web.test", Names: []string{"no.test"}, URIs: []string{"spiffe://test/no"}, Roots: roots, Certificate: &mine}, false},
		"a name of another authority's": {routing.BackendTLS{ServerName: "web.test", Names: []string{"web.test"}, Roots: others, Certificate: &mine}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr.String())
			}, func(relayproto.Key, uint16) []netip.AddrPort {
				return []netip.AddrPort{server.Listener.Addr().(*net.TCPAddr).AddrPort()}
			})
			defer p.Close()
			req, err := http.NewRequest("GET", "http://web.test", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, _, err := p.RoundTrip(req, &routing.Backend{Protocol: routing.HTTPS, TLS: &c.tls}, netip.AddrPort{}, 0)
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != c.want {
				t.Errorf("answered: %v, %v", err == nil, err)
			}
		})
	}
}
