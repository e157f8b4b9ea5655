package e2e

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// ingressPorts are where an Ingress answers, by its status: the web's own, or those it had to fall back on.
func ingressPorts(t *testing.T, name string) (plain, secure string) {
	t.Helper()
	eventuallyPrints(t, "localhost", "get", "ingress", name, "-o", "jsonpath={.status.loadBalancer.ingress[0].hostname}")
	for deadline := time.Now().Add(slow / 3); ; {
		switch ports := strings.Fields(jsonpath(t, "{.status.loadBalancer.ingress[0].ports[*].port}", "ingress", name)); {
		case len(ports) == 0:
			return "127.0.0.1:80", "127.0.0.1:443"
		case len(ports) == 2:
			return "127.0.0.1:" + ports[0], "127.0.0.1:" + ports[1]
		case time.Now().After(deadline):
			t.Skipf("other programs have the ports that Ingress could be served on: it has %v", ports)
		}
	}
}

func TestIngressesAreServedAsNginxWould(t *testing.T) {
	ensureStarted(t)
	namespace(t, "ingress")
	for _, name := range []string{"one", "two", "three"} {
		backend(t, name)
	}
	cert := tlsSecret(t, "cert", "shop.test")
	apply(t, `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  tls: [{hosts: [shop.test], secretName: cert}]
  rules:
  - host: shop.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: one, port: {name: http}}}}
      - {path: /api, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}
      - {path: /api/exact, pathType: Exact, backend: {service: {name: three, port: {number: 80}}}}
      - {path: /text, pathType: ImplementationSpecific, backend: {service: {name: three, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: any}
spec:
  defaultBackend: {service: {name: three, port: {number: 80}}}
  rules: [{host: "*.localhost", http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: canary-stable}
spec: {rules: [{host: canary.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: one, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: canary
  annotations:
    nginx.ingress.kubernetes.io/canary: "true"
    nginx.ingress.kubernetes.io/canary-weight: "30"
    nginx.ingress.kubernetes.io/canary-by-header: X-Canary
    nginx.ingress.kubernetes.io/canary-by-cookie: canary
spec: {rules: [{host: canary.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: rewrite, annotations: {nginx.ingress.kubernetes.io/rewrite-target: /v2/$2, nginx.ingress.kubernetes.io/upstream-vhost: inner.test}}
spec: {rules: [{host: rewrite.test, http: {paths: [{path: /app(/|$)(.*), pathType: ImplementationSpecific, backend: {service: {name: one, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: moved, annotations: {nginx.ingress.kubernetes.io/permanent-redirect: https://new.test/}}
spec: {rules: [{host: moved.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: one, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: cors, annotations: {nginx.ingress.kubernetes.io/enable-cors: "true", nginx.ingress.kubernetes.io/cors-allow-origin: "https://*.pages.test"}}
spec: {rules: [{host: cors.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: one, port: {number: 80}}}}]}}]}
`)
	plainAt, secureAt := ingressPorts(t, "shop")
	plain := browser{at: plainAt}

	plain.eventually(t, "other.test/", by("three"))
	plain.eventually(t, "a.localhost/", by("two"))
	plain.eventually(t, "a.b.localhost/", by("three")) // a wildcard is one label, by the API's reference
	plain.eventually(t, "rewrite.test/app/x", by("one"))
	if s := plain.eventually(t, "rewrite.test/app/a/b?c=d", by("one")).seen; s.Path != "/v2/a/b" || s.Query != "c=d" || s.Host != "inner.test" {
		t.Errorf("rewritten to %+v", s)
	}
	plain.eventually(t, "moved.test/x", answered(http.StatusMovedPermanently, "https://new.test/"))
	if a := plain.eventually(t, "OPTIONS cors.test/", answered(http.StatusNoContent, ""), "Origin: https://my.pages.test", "Access-Control-Request-Method: PUT"); a.header.Get("Access-Control-Allow-Origin") != "https://my.pages.test" {
		t.Errorf("a preflight: %v", a.header)
	}
	// With TLS, plain requests are sent there, as ingress-nginx does it.
	_, port, _ := net.SplitHostPort(secureAt)
	plain.eventually(t, "shop.test/a?b=c", answered(http.StatusPermanentRedirect, "https://"+strings.TrimSuffix("shop.test:"+port, ":443")+"/a?b=c"))

	secure := browser{at: secureAt, roots: cert}
	for path, want := range map[string]string{
		"/": "one", "/apis": "one", "/api": "two", "/api/x": "two", "/api/exact": "three", "/api/exact/x": "two", "/textual": "three",
	} {
		if a := secure.eventually(t, "shop.test"+path, by(want)); a.proto != "HTTP/2.0" || a.seen.Header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("%s over TLS: %s, backend saw %v", path, a.proto, a.seen.Header)
		}
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM([]byte(skiff(t, "trust", "--print"))) {
		t.Fatal("skiff trust --print prints no certificate")
	}
	local := browser{at: secureAt, roots: authority}
	local.eventually(t, "a.localhost/", by("two"))
	if _, err := local.get("shop.test/"); err == nil {
		t.Error("the local authority signed for a host that has a Secret")
	}
	for name, b := range map[string]browser{"without TLS": plain, "with TLS": local} {
		if a := b.eventually(t, "POST a.localhost/shop.Cart/Add", by("two"), "Content-Type: application/grpc"); a.header.Get("Grpc-Status") != "0" || a.seen.Proto != "HTTP/2.0" {
			t.Errorf("gRPC %s: %+v", name, a)
		}
	}
	echoes(t, plainAt, "a.localhost")
	takesItsShare(t, plain)

	eventually(t, slow, func() string {
		for _, want := range []string{" GET moved.test /x HTTP/1.1 301 0 ", " GET rewrite.test /app/a/b?c=d HTTP/1.1 200 "} {
			if log := skiff(t, "logs", "--ingress", "--since", "10m"); !strings.Contains(log, want) {
				return fmt.Sprintf("no %q in the access log:\n%s", want, log)
			}
		}
		return ""
	})
}

// echoes sends a message over a WebSocket and expects it back.
func echoes(t *testing.T, at, host string) {
	t.Helper()
	config, err := websocket.NewConfig("ws://"+host+"/ws", "http://"+host)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ws, err := websocket.NewClient(config, conn)
	if err != nil {
		t.Fatalf("open a WebSocket: %v", err)
	}
	var got string
	if err := websocket.Message.Send(ws, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := websocket.Message.Receive(ws, &got); err != nil || got != "hello" {
		t.Errorf("a WebSocket echoes %q, %v", got, err)
	}
}

func takesItsShare(t *testing.T, plain browser) {
	t.Helper()
	for _, c := range []struct{ header, want string }{
		{"X-Canary: always", "two"}, {"X-Canary: never", "one"}, {"Cookie: canary=always", "two"}, {"Cookie: canary=never", "one"},
	} {
		for range 10 {
			plain.eventually(t, "canary.test/", by(c.want), c.header)
		}
	}
	shares := map[string]int{}
	for range 200 {
		a, err := plain.get("canary.test/")
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("canary.test: %v %d", err, a.status)
		}
		shares[a.seen.Backend]++
	}
	if shares["two"] < 25 || shares["two"] > 110 { // 60 are due; further away has a chance of one in 10^7
		t.Errorf("a canary of 30 of 100: %v", shares)
	}
}

func TestWhatIsWrongWithAnIngressIsAnEventAndTheRestIsServed(t *testing.T) {
	ensureStarted(t)
	namespace(t, "ingress-bad")
	backend(t, "good")
	if r := tryIn(t, `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: refused}
spec: {rules: [{host: x.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: good, port: {number: 70000}}}}]}}]}
`, nil, shared.kubectl, "apply", "-f", "-"); r.code == 0 {
		t.Errorf("a port that can't be was taken:\n%s", r)
	}
	apply(t, `
apiVersion: v1
kind: Secret
metadata: {name: garbage}
stringData: {tls.crt: no certificate, tls.key: no key}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: good}
spec: {rules: [{host: good.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: good, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: class}
spec: {ingressClassName: traefik, rules: [{host: class.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: good, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: secret}
spec:
  tls: [{hosts: [secret.test], secretName: garbage}, {hosts: [lost.test], secretName: nowhere}]
  rules: [{host: secret.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: good, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: service}
spec:
  rules:
  - host: service.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: missing, port: {number: 80}}}}
      - {path: /port, pathType: Prefix, backend: {service: {name: good, port: {name: admin}}}}
      - {path: /good, pathType: Prefix, backend: {service: {name: good, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: annotations, annotations: {nginx.ingress.kubernetes.io/rewrite-target: /$1, nginx.ingress.kubernetes.io/auth-url: "http://x", nginx.ingress.kubernetes.io/canary-weight: many}}
spec: {rules: [{host: annotations.test, http: {paths: [{path: "/(", pathType: ImplementationSpecific, backend: {service: {name: good, port: {number: 80}}}}]}}]}
`)
	plainAt, secureAt := ingressPorts(t, "good")
	// The older one of two keeps its host and path, so this one must be younger, by the second.
	plain := browser{at: plainAt}
	plain.eventually(t, "good.test/", by("good"))
	backend(t, "thief")
	apply(t, `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: thief}
spec: {rules: [{host: good.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: thief, port: {number: 80}}}}]}}]}
`)
	for ingress, reason := range map[string][]string{
		"class": {"UnknownClass"}, "secret": {"InvalidTLS", "nowhere"}, "service": {"missing", "admin"}, "thief": {"good.test"}, "annotations": {"auth-url", "canary-weight", "/("},
	} {
		for _, want := range reason {
			eventuallyPrints(t, want, "events", "--for", "ingress/"+ingress)
		}
	}
	plain.eventually(t, "good.test/", by("good"))
	plain.eventually(t, "service.test/good", by("good"))
	plain.eventually(t, "service.test/", answered(http.StatusServiceUnavailable, ""))
	plain.eventually(t, "class.test/", answered(http.StatusNotFound, ""))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(skiff(t, "trust", "--print")))
	browser{at: secureAt, roots: roots}.eventually(t, "secret.test/", by("good"))
}
