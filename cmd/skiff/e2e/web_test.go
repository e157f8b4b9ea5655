package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// seen is a request as a backend saw it.
type seen struct {
	Backend, Method, Host, Path, Query, Proto string
	Header                                    http.Header
}

// backend puts a web server of this process behind a Service without selector of the current namespace: what the proxy
// does to a request can be seen there without an image. It speaks HTTP/1.1, h2c and, at /ws, WebSocket.
func backend(t *testing.T, name string) {
	t.Helper()
	serveAt(t, name, "{name: http, port: 80}", nil)
}

// serveAt is backend on a port of the Service, with TLS when there is a certificate.
func serveAt(t *testing.T, name, port string, cert *tls.Certificate) {
	t.Helper()
	addr := hostAddress(t)
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		}
		_ = json.NewEncoder(w).Encode(seen{name, r.Method, r.Host, r.URL.Path, r.URL.RawQuery, r.Proto, r.Header})
	})
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	if cert != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}}
		go server.ServeTLS(l, "", "")
	} else {
		go server.Serve(l)
	}
	t.Cleanup(func() { server.Close() })
	apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [%[4]s]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: %[5]s, port: %[3]d}]
endpoints: [{addresses: [%[2]s]}]
`, name, addr, l.Addr().(*net.TCPAddr).Port, port, map[bool]string{false: "http", true: "https"}[cert != nil]))
}

// hostAddress is an address of this machine that endpoints may have, which those of loopback are not.
func hostAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr().String()
		}
	}
	t.Skip("this machine has no address but loopback's")
	return ""
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	if r := tryIn(t, manifest, nil, shared.kubectl, "apply", "-f", "-"); r.code != 0 {
		t.Fatalf("%s", r)
	}
}

// answer is how a request was answered: by a backend, or by the proxy itself.
type answer struct {
	status int
	proto  string
	header http.Header
	body   string
	seen   seen // zero when no backend answered
	tls    *tls.ConnectionState
}

// browser asks for any host at one address, as names would resolve in a browser.
type browser struct {
	at    string            // address and port
	roots *x509.CertPool    // that it trusts; nil to ask without TLS
	certs []tls.Certificate // that it has
}

// get sends a request for host, path and query, with headers written "name: value". A method may stand first in path.
func (b browser) get(target string, headers ...string) (answer, error) {
	method := http.MethodGet
	if m, rest, ok := strings.Cut(target, " "); ok {
		method, target = m, rest
	}
	url := "http://" + target
	if b.roots != nil {
		url = "https://" + target
	}
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, b.at)
		},
		TLSClientConfig: &tls.Config{RootCAs: b.roots, Certificates: b.certs}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}
	if req.Header.Get("Content-Type") == "application/grpc" && b.roots == nil {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	for name, values := range res.Trailer {
		res.Header[name] = values
	}
	a := answer{status: res.StatusCode, proto: res.Proto, header: res.Header, body: string(raw), tls: res.TLS}
	_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&a.seen)
	return a, nil
}

// eventually asks until check finds nothing to complain about.
func (b browser) eventually(t *testing.T, target string, check func(a answer) string, headers ...string) answer {
	t.Helper()
	var last answer
	eventually(t, slow, func() string {
		a, err := b.get(target, headers...)
		if err != nil {
			return fmt.Sprintf("%s: %v", target, err)
		}
		last = a
		if complaint := check(a); complaint != "" {
			return fmt.Sprintf("%s %v: %s; answered: %d %s", target, headers, complaint, a.status, a.body)
		}
		return ""
	})
	return last
}

// by complains about an answer that is not this backend's.
func by(name string) func(a answer) string {
	return func(a answer) string {
		if a.status != http.StatusOK || a.seen.Backend != name {
			return "not answered by " + name
		}
		return ""
	}
}

// answered complains about an answer with another status or, when one is given, another Location.
func answered(status int, location string) func(a answer) string {
	return func(a answer) string {
		if a.status != status || location != "" && a.header.Get("Location") != location {
			return fmt.Sprintf("status %d at %q, not %d at %q", a.status, a.header.Get("Location"), status, location)
		}
		return ""
	}
}

// tlsSecret applies a Secret with a certificate for these names, and returns who trusts it.
func tlsSecret(t *testing.T, name string, hosts ...string) *x509.CertPool {
	t.Helper()
	_, cert, key := certificate(t, hosts...)
	secret, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": map[string]any{"name": name},
		"stringData": map[string]string{"tls.crt": cert, "tls.key": key},
	})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, string(secret))
	return trusting(cert)
}

// trusting is who trusts a certificate in PEM.
func trusting(cert string) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	return roots
}

// authority applies a ConfigMap with a certificate that others are verified by.
func authority(t *testing.T, name, cert string) {
	t.Helper()
	configMap, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": map[string]string{"ca.crt": cert},
	})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, string(configMap))
}

// certificate makes a certificate for these names that vouches for itself, also in PEM.
func certificate(t *testing.T, hosts ...string) (pair tls.Certificate, cert, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, encode("CERTIFICATE", der), encode("PRIVATE KEY", der8)
}
