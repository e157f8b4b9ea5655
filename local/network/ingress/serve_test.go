package ingress

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/local/authority"
	"skiff.local/skiff/local/network/networktest/ports"
	"skiff.local/skiff/local/network/relayproto"
)

func TestIngressesAreServed(t *testing.T) {
	w := newWorld(t)
	w.set("web", backendServer(t, say("web")))
	w.apply(ing("web", 0, "web.localhost/ prefix web"))
	w.apply(ing("api", 0, "api.localhost/v1(/|$)(.*) any web", "rewrite-target=/$2"))
	w.apply(ing("away", 0, "permanent-redirect=https://example.org/", "old.localhost/ prefix web"))
	w.apply(ing("secure", 0, "secure.localhost/ prefix web", "tls secure.localhost"))
	client := w.clientFor(http1)
	eventually(t, func() string {
		if got := w.get(client, "http://secure.localhost/"); !strings.HasPrefix(got, "308 to https://secure.localhost") {
			return got
		}
		return ""
	})
	for _, c := range []struct{ url, want string }{
		{"http://web.localhost/a?b=c", "200 web web.localhost/a?b=c http"},
		{"http://api.localhost/v1/users?x=1", "200 web api.localhost/users?x=1 http"},
		{"http://old.localhost/x", "301 to https://example.org/"},
		{"https://secure.localhost/s", "200 web secure.localhost/s https"},
		{"http://nobody.localhost/", "404 404 Not Found\nskiff ingress: nothing is routed for the host"},
	} {
		if got := w.get(client, c.url); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.url, got, c.want)
		}
	}
	h2 := w.clientFor(func(p *http.Protocols) { p.SetHTTP2(true) })
	res, err := h2.Get("https://secure.localhost/")
	if err != nil || res.ProtoMajor != 2 {
		t.Errorf("HTTP/2: %v, %v", res, err)
	}
	eventually(t, func() string {
		o, err := w.client.NetworkingV1().Ingresses("default").Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil || len(o.Status.LoadBalancer.Ingress) != 1 || o.Status.LoadBalancer.Ingress[0].Hostname != "localhost" {
			return fmt.Sprintf("status: %+v, %v", o.Status, err)
		}
		return ""
	})
	class, err := w.client.NetworkingV1().IngressClasses().Get(t.Context(), ClassName, metav1.GetOptions{})
	if err != nil || class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
		t.Errorf("class: %+v, %v", class, err)
	}
	if log := w.log.String(); !strings.Contains(log, " GET api.localhost /v1/users?x=1 HTTP/1.1 200 ") {
		t.Errorf("access log:\n%s", log)
	}
}

func TestSecretsGiveTheCertificate(t *testing.T) {
	w := newWorld(t)
	w.set("web", backendServer(t, say("web")))
	other, err := authority.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := other.Leaf("own.localhost")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for name, data := range map[string]map[string][]byte{
		"good": {corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM}, "bad": {corev1.TLSCertKey: []byte("x")},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: data}
		if _, err := w.client.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	good, bad := ing("good", 0, "own.localhost/ prefix web"), ing("bad", 0, "bad.localhost/ prefix web")
	good.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{"own.localhost"}, SecretName: "good"}}
	bad.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{"bad.localhost"}, SecretName: "bad"}}
	w.apply(good)
	w.apply(bad)
	issuer := func(host string) string {
		st := w.c.Status()
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", st.HTTPS), &tls.Config{ServerName: host, InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		return string(conn.ConnectionState().PeerCertificates[0].AuthorityKeyId)
	}
	eventually(t, func() string {
		if got := issuer("own.localhost"); got != string(other.Cert.SubjectKeyId) {
			return "own.localhost has another certificate: " + got
		}
		return ""
	})
	if got := issuer("bad.localhost"); got != string(w.authority.Cert.SubjectKeyId) {
		t.Errorf("bad.localhost is not signed by the local CA: %s", got)
	}
	eventually(t, func() string {
		select {
		case e := <-w.events.Events:
			if strings.Contains(e, "InvalidTLS") && strings.Contains(e, "secret bad") {
				return ""
			}
			return e
		default:
			return "no event about the bad secret"
		}
	})
}

func TestUpgradesAndGRPCPassThrough(t *testing.T) {
	w := newWorld(t)
	w.set("ws", backendServer(t, func(rw http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		line, _ := buf.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	}))
	w.set("rpc", backendServer(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Trailer", "Grpc-Status")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %s", r.Proto, body)
		rw.Header().Set("Grpc-Status", "0")
	}))
	w.apply(ing("both", 0, "ws.localhost/ prefix ws", "rpc.localhost/ prefix rpc"))
	eventually(t, func() string {
		if w.c.Status().HTTP == 0 {
			return "no port is open"
		}
		return ""
	})
	conn, err := net.Dial("tcp", fmt.Sprintf("[::1]:%d", w.c.Status().HTTP))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: ws.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, "hello\n")
	if line, _ := r.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("over the upgraded connection: %q", line)
	}

	h2c := w.clientFor(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	req, _ := http.NewRequest("POST", "http://rpc.localhost/pkg.Service/Method", strings.NewReader("ping"))
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	answer, err := h2c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	if string(body) != "HTTP/2.0 ping" || answer.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("gRPC: %q, trailers %v", body, answer.Trailer)
	}
}

// A rolling update as the proxy sees it: endpoints come and go while requests run, some refuse at once, and none of the
// requests may fail, not even those with a body.
func TestNoRequestIsLostWhileEndpointsChange(t *testing.T) {
	w := newWorld(t)
	dead := ports.Refusing(t)
	w.set("web", backendServer(t, say("0")), dead)
	w.apply(ing("web", 0, "web.localhost/ prefix web"))
	client := w.clientFor(http1)
	eventually(t, func() string {
		if got := w.get(client, "http://web.localhost/"); !strings.HasPrefix(got, "200") {
			return got
		}
		return ""
	})
	stop := make(chan struct{})
	var failed, done atomic.Int64
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			mine := w.clientFor(http1)
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := mine.Post("http://web.localhost/", "text/plain", strings.NewReader(" body"))
				if err != nil {
					failed.Add(1)
					t.Log(err)
					continue
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if done.Add(1); res.StatusCode != 200 || !strings.HasSuffix(string(body), " body") {
					failed.Add(1)
					t.Logf("%d %s", res.StatusCode, body)
				}
			}
		})
	}
	for i := range 20 {
		next := httptest.NewServer(say(fmt.Sprint(i)))
		old := w.backends(relayproto.Key{Name: "web"}, 80)[0]
		w.set("web", old, next.Listener.Addr().(*net.TCPAddr).AddrPort(), dead)
		w.set("web", next.Listener.Addr().(*net.TCPAddr).AddrPort(), dead)
		t.Cleanup(next.Close)
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	running.Wait()
	t.Logf("%d requests", done.Load())
	if failed.Load() > 0 || done.Load() == 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), done.Load())
	}
}

func TestAnEndpointThatHangsUpCostsNoRequestThatMayBeSentTwice(t *testing.T) {
	w := newWorld(t)
	w.set("web", backendServer(t, say("web")))
	w.apply(ing("web", 0, "web.localhost/ prefix web"))
	client := w.clientFor(http1)
	eventually(t, func() string {
		if got := w.get(client, "http://web.localhost/"); !strings.HasPrefix(got, "200") {
			return got
		}
		return ""
	})
	w.set("web", append(w.backends(relayproto.Key{Name: "web"}, 80), hangUp(t))...)
	codes := map[int]int{}
	for range 10 {
		if got := w.get(client, "http://web.localhost/"); !strings.HasPrefix(got, "200 web") {
			t.Errorf("GET: %q", got)
		}
		res, err := client.Post("http://web.localhost/", "text/plain", strings.NewReader("once"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		codes[res.StatusCode]++
		// One request more, or every GET would meet the same endpoint.
		w.get(client, "http://web.localhost/")
	}
	if codes[http.StatusBadGateway] == 0 {
		t.Errorf("a POST was sent twice, or the endpoint that hangs up never met one: %v", codes)
	}
}

func TestAnUnknownClassIsSaid(t *testing.T) {
	w := newWorld(t)
	o, class := ing("other", 0, "x.localhost/ prefix web"), "nginx"
	o.Spec.IngressClassName = &class
	w.apply(o)
	eventually(t, func() string {
		select {
		case e := <-w.events.Events:
			if !strings.Contains(e, `UnknownClass there is no IngressClass "nginx"`) {
				return e
			}
			return ""
		default:
			return "no event"
		}
	})
	if st := w.c.Status(); st.HTTP != 0 {
		t.Errorf("a port is open for nobody: %+v", st)
	}
}
