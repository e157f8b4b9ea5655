package ingress

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/local/authority"
	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/networktest/ports"
	"skiff.local/skiff/local/network/relayproto"
)

// world is a controller with Services that are servers in this process.
type world struct {
	t         *testing.T
	client    *fake.Clientset
	c         *Controller
	events    *record.FakeRecorder
	log       *syncBuffer
	authority *authority.Authority

	mu        sync.Mutex
	endpoints map[string][]netip.AddrPort // guarded by mu
}

func (w *world) Port(key relayproto.Key, number uint16, name string) (uint16, error) {
	return anyService{}.Port(key, number, name)
}

func (w *world) backends(key relayproto.Key, _ uint16) []netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.endpoints[key.Name]
}

func (w *world) set(service string, addrs ...netip.AddrPort) {
	w.mu.Lock()
	w.endpoints[service] = addrs
	w.mu.Unlock()
	w.c.Forget(relayproto.Key{Namespace: "default", Name: service}, addrs)
}

func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	ca, err := authority.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, client: fake.NewClientset(objects...), events: record.NewFakeRecorder(100), log: &syncBuffer{},
		authority: ca, endpoints: map[string][]netip.AddrPort{},
	}
	factory := informers.NewSharedInformerFactory(w.client, 0)
	w.c = New(Config{
		Client: w.client, Informers: factory, Recorder: w.events, Services: w, Backends: w.backends,
		Dial: func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addr.String())
		},
		Bind:  []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()},
		Ports: httpproxy.Ports{HTTP: []uint16{ports.Free(t)}, HTTPS: []uint16{ports.Free(t)}}, Authority: ca, AccessLog: w.log,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err := w.c.Watch(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	ended := make(chan struct{})
	go func() { defer close(ended); w.c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; factory.Shutdown() })
	return w
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func (w *world) apply(o *networkingv1.Ingress) {
	w.t.Helper()
	class := ClassName
	if o.Spec.IngressClassName == nil {
		o.Spec.IngressClassName = &class
	}
	if _, err := w.client.NetworkingV1().Ingresses(o.Namespace).Create(context.Background(), o, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func eventually(t *testing.T, check func() string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		last := check()
		if last == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(last)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// client asks whatever host by way of the controller's ports.
func (w *world) clientFor(protocols func(*http.Protocols)) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(w.authority.Cert)
	p := new(http.Protocols)
	protocols(p)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: p,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				st := w.c.Status()
				port := st.HTTP
				if strings.HasSuffix(addr, ":443") {
					port = st.HTTPS
				}
				var d net.Dialer
				return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
			},
		},
	}
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }

func backendServer(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s%s %s%s", text, r.Host, r.URL.RequestURI(), r.Header.Get("X-Forwarded-Proto"), body)
	}
}

func (w *world) get(client *http.Client, url string) string {
	res, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if to := res.Header.Get("Location"); to != "" {
		return fmt.Sprintf("%d to %s", res.StatusCode, to)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, strings.TrimSpace(string(body)))
}

// hangUp is an endpoint that takes connections and ends them without an answer.
func hangUp(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
