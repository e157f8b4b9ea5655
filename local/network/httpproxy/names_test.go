package httpproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/httpproxy/certtest"
	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/networktest/ports"
	"skiff.local/skiff/local/network/relayproto"
)

// greeting is a server that says who it is to every connection, with what it was sent in the first line.
func greeting(t *testing.T, l net.Listener, name string) netip.AddrPort {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
					_, _ = io.WriteString(conn, name+" heard "+line)
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// securePort serves HTTP for any host, and by name: pass.test undecrypted, end.test decrypted, gone.test without an endpoint,
// again.test decrypted and encrypted anew, strange.test so to an endpoint that is somebody else, guarded.test for clients with a
// certificate, asking.test for all of them, and *.shut.test not at all.
type securePort struct {
	at       string
	roots    *x509.CertPool // of the port
	backend  *x509.CertPool // of pass.test
	client   tls.Certificate
	stranger tls.Certificate
	clients  *Clients
	server   *Server
	place    Place
	offer    Offer
	log      lines
}

// lines are what is written to a log.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func newSecurePort(t *testing.T) securePort {
	t.Helper()
	var p securePort
	var own, behind tls.Certificate
	var clients *x509.CertPool
	own, p.roots = certtest.Signed(t, "*.test", "x.shut.test")
	behind, p.backend = certtest.Signed(t, "pass.test")
	p.client, clients = certtest.Signed(t, "client")
	p.stranger, _ = certtest.Signed(t, "stranger")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "web") }))
	t.Cleanup(web.Close)
	backends := map[string]netip.AddrPort{
		"web":  web.Listener.Addr().(*net.TCPAddr).AddrPort(),
		"pass": greeting(t, tls.NewListener(listenLocal(t), &tls.Config{Certificates: []tls.Certificate{behind}}), "pass"),
		"end":  greeting(t, listenLocal(t), "end"),
	}
	p.log = make(lines, 100)
	p.server = NewServer(Config{
		Backends: func(k relayproto.Key, _ uint16) []netip.AddrPort {
			if b, ok := backends[k.Name]; ok {
				return []netip.AddrPort{b}
			}
			return nil
		},
		Dial: func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr.String())
		},
		Pod:  func(relayproto.Key, netip.Addr) string { return "pod-1" },
		Bind: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, AccessLog: p.log, Changed: func() {},
	})
	t.Cleanup(p.server.Close)
	to := func(name string) *routing.Route {
		return &routing.Route{Kind: routing.PathElement, Path: "/", Backend: &routing.Backend{Service: relayproto.Key{Namespace: "default", Name: name}, Port: 443, Protocol: routing.HTTP}}
	}
	verified := func(roots *x509.CertPool) *routing.Route {
		r := to("pass")
		r.Backend.TLS = &routing.BackendTLS{ServerName: "pass.test", Roots: roots}
		return r
	}
	certs := NewCertificates(nil)
	certs.Add("", &own)
	p.clients = &Clients{Roots: clients}
	port := ports.Free(t)
	p.place, p.offer = Place{Port: port}, Offer{
		Secure: true, Table: routing.BuildTable([]*routing.Route{to("web")}, nil), Certificates: certs,
		Names: map[string]*Name{
			"":             {Owner: "any"},
			"free.test":    {},
			"pass.test":    {Owner: "pass", Stream: &Stream{Listener: "gw/pass", Route: to("pass")}},
			"end.test":     {Owner: "end", Stream: &Stream{Listener: "gw/end", Route: to("end"), Terminate: true}},
			"again.test":   {Owner: "again", Stream: &Stream{Listener: "gw/end", Route: verified(p.backend), Terminate: true}},
			"strange.test": {Owner: "strange", Stream: &Stream{Listener: "gw/end", Route: verified(clients), Terminate: true}},
			"gone.test":    {Owner: "gone", Stream: &Stream{Listener: "gw/pass", Route: to("nobody")}},
			"*.shut.test":  {Owner: "shut", Stream: &Stream{Listener: "gw/pass"}},
			"guarded.test": {Owner: "guarded", Clients: p.clients},
			"asking.test":  {Owner: "asking", Clients: &Clients{Roots: clients, Optional: true}},
		},
	}
	p.server.Offer(map[Place]Offer{p.place: p.offer})
	if at, problem := p.server.At(Place{Port: port}); at != port {
		t.Fatalf("the port is not open: %s", problem)
	}
	p.at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String()
	return p
}

func TestConnectionsGoWhereTheirNameSays(t *testing.T) {
	p := newSecurePort(t)
	for _, c := range []struct {
		name, want string
		roots      *x509.CertPool
	}{
		{"pass.test", "pass heard hello\n", p.backend}, {"end.test", "end heard hello\n", p.roots}, {"again.test", "pass heard hello\n", p.roots},
		{"strange.test", "", p.roots},
	} {
		conn, err := tls.Dial("tcp", p.at, &tls.Config{ServerName: c.name, RootCAs: c.roots})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		// A reset is told once: to the write when it was there before it.
		_, err = io.WriteString(conn, "hello\n")
		var got []byte
		if err == nil {
			got, err = io.ReadAll(conn)
		}
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s answers %q, %v", c.name, got, err)
		}
		conn.Close()
	}
	for _, name := range []string{"gone.test", "x.shut.test"} {
		if conn, err := tls.Dial("tcp", p.at, &tls.Config{ServerName: name, InsecureSkipVerify: true}); err == nil {
			conn.Close()
			t.Errorf("a connection for %s is taken", name)
		}
	}
	res, err := http.Get("http://" + p.at)
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %v, %v", res, err)
	}
}

func TestTheLogHasALineForEveryConnectionThatIsCarried(t *testing.T) {
	p := newSecurePort(t)
	for _, c := range []struct{ name, want string }{
		{"pass.test", "TLS pass.test gw/pass Passthrough 200 SENT default/pass:443 pod-1"},
		{"end.test", "TLS end.test gw/end Terminate 200 16 default/end:443 pod-1"},
		{"again.test", "TLS again.test gw/end Terminate 200 17 default/pass:443 pod-1"},
		{"strange.test", "TLS strange.test gw/end Terminate 502 0 default/pass:443 -"},
		{"gone.test", "TLS gone.test gw/pass Passthrough 503 0 default/nobody:443 -"},
		{"two%20words\n.shut.test", "TLS two%2520words%0A.shut.test gw/pass - 404 0 - -"},
	} {
		if conn, err := tls.Dial("tcp", p.at, &tls.Config{ServerName: c.name, InsecureSkipVerify: true}); err == nil {
			_, _ = io.WriteString(conn, "hello\n")
			_, _ = io.ReadAll(conn)
			conn.Close()
		}
		var fields []string
		select {
		case line := <-p.log:
			fields = strings.Fields(line)
		case <-time.After(time.Minute):
		}
		if len(fields) != 11 || fields[1] != "127.0.0.1" {
			t.Errorf("%s: %q", c.name, fields)
			continue
		}
		if _, err := time.Parse(accesslog.TimeFormat, fields[0]); err != nil {
			t.Error(err)
		}
		if took, err := time.ParseDuration(fields[8]); err != nil || took <= 0 {
			t.Errorf("%s took %v, %v", c.name, took, err)
		}
		if sent, err := strconv.Atoi(fields[7]); err == nil && sent > len("pass heard hello\n") {
			fields[7] = "SENT" // with what TLS is made of
		}
		if got := strings.Join(append(fields[2:8:8], fields[9:]...), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// ask asks for a host on a connection for a name, with a client's certificate when there is one.
func (p securePort) ask(t *testing.T, name, host string, cert *tls.Certificate) (int, error) {
	t.Helper()
	config := &tls.Config{ServerName: name, InsecureSkipVerify: true}
	if cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	req, err := http.NewRequest("GET", "https://"+p.at, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	return res.StatusCode, nil
}

func TestRequestsBelongOnAConnectionForTheirHost(t *testing.T) {
	p := newSecurePort(t)
	for _, c := range []struct {
		name, host string
		want       int
	}{
		{"a.test", "a.test", 200}, {"a.test", "b.test", 200},
		{"free.test", "a.test", 421}, {"a.test", "free.test", 200},
		{"a.test", "guarded.test", 421}, {"a.test", "pass.test", 421}, {"asking.test", "a.test", 421},
		// Who gives no name is let through, but not to where a certificate is asked for.
		{"", "a.test", 200}, {"", "asking.test", 200}, {"", "guarded.test", 421},
	} {
		if got, err := p.ask(t, c.name, c.host, nil); got != c.want {
			t.Errorf("%s on a connection for %q: %d, %v, want %d", c.host, c.name, got, err, c.want)
		}
	}
}

func TestClientsShowTheCertificateThatANameAsksFor(t *testing.T) {
	p := newSecurePort(t)
	for _, c := range []struct {
		name string
		cert *tls.Certificate
		want int
	}{
		{"guarded.test", &p.client, 200}, {"guarded.test", &p.stranger, 0}, {"guarded.test", nil, 0},
		{"asking.test", &p.client, 200}, {"asking.test", &p.stranger, 200}, {"asking.test", nil, 200},
	} {
		if got, err := p.ask(t, c.name, c.name, c.cert); got != c.want {
			t.Errorf("%s, certificate %v: %d, %v, want %d", c.name, c.cert != nil, got, err, c.want)
		}
	}
}

// A connection may be older than the demand for a certificate.
func TestAConnectionWithoutACertificateDoesNotOutliveTheDemandForOne(t *testing.T) {
	p := newSecurePort(t)
	transport := &http.Transport{TLSClientConfig: &tls.Config{ServerName: "a.test", InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	ask := func() int {
		req, err := http.NewRequest("GET", "https://"+p.at, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "a.test"
		res, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	if got := ask(); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	p.offer.Names = map[string]*Name{"": {Owner: "any", Clients: p.clients}}
	p.server.Offer(map[Place]Offer{p.place: p.offer})
	if got := ask(); got != http.StatusMisdirectedRequest {
		t.Errorf("after: %d", got)
	}
}
