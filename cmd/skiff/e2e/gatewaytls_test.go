package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"skiff.local/skiff/local/network/networktest/ports"
)

// One port carries connections undecrypted, and ends TLS for those that show a certificate; a ListenerSet adds another.
func TestGatewaysTellConnectionsApartByName(t *testing.T) {
	ensureStarted(t)
	namespace(t, "gateway-tls")
	inner, innerCert, _ := certificate(t, "inner.test", "a.pass.test")
	serveAt(t, "inner", "{name: https, port: 443}", &inner)
	backend(t, "one")
	person, personCert, _ := certificate(t, "person")
	authority(t, "people", personCert)
	authority(t, "inner-ca", innerCert)
	roots := tlsSecret(t, "cert", "*.shop.test")
	gatewayAPI(t)

	secure, plain := int(ports.Free(t)), int(ports.Free(t))
	apply(t, fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: skiff
  allowedListeners: {namespaces: {from: Same}}
  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: people}]}}}}
  listeners:
  - {name: https, port: %[1]d, protocol: HTTPS, hostname: "*.shop.test", tls: {certificateRefs: [{name: cert}]}}
  - {name: pass, port: %[1]d, protocol: TLS, hostname: "*.pass.test", tls: {mode: Passthrough}}
  - {name: end, port: %[1]d, protocol: TLS, hostname: end.shop.test, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: end}
spec: {parentRefs: [{name: web, sectionName: end}], hostnames: [end.shop.test], rules: [{backendRefs: [{name: inner, port: 443}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: pass}
spec: {parentRefs: [{name: web}], hostnames: [a.pass.test], rules: [{backendRefs: [{name: inner, port: 443}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec: {parentRefs: [{name: web}], hostnames: [www.shop.test], rules: [{backendRefs: [{name: inner, port: 443}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: inner}
spec:
  targetRefs: [{group: "", kind: Service, name: inner, sectionName: https}]
  validation: {hostname: inner.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: inner-ca}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more}
spec: {parentRef: {name: web}, listeners: [{name: http, port: %[2]d, protocol: HTTP, hostname: more.test}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: more}
spec: {parentRefs: [{kind: ListenerSet, name: more}], rules: [{backendRefs: [{name: one, port: 80}]}]}
`, secure, plain))

	known := browser{at: at(secure), roots: roots, certs: []tls.Certificate{person}}
	known.eventually(t, "www.shop.test/", by("inner"))
	if a, err := (browser{at: at(secure), roots: roots}).get("www.shop.test/"); err == nil {
		t.Errorf("a client without a certificate is answered: %+v", a)
	}
	passing := browser{at: at(secure), roots: trusting(innerCert)}
	if a := passing.eventually(t, "a.pass.test/", by("inner")); a.seen.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("a request that should have passed undecrypted: %+v", a.seen)
	}
	if a, err := passing.get("b.pass.test/"); err == nil {
		t.Errorf("a name that is nobody's is answered: %+v", a)
	}
	ended := browser{at: at(secure), roots: roots}
	if a := ended.eventually(t, "end.shop.test/", by("inner")); a.seen.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("a request that should not have been read: %+v", a.seen)
	}
	browser{at: at(plain)}.eventually(t, "more.test/", by("one"))
	eventuallySays(t, "listenerset/more", "Programmed=True/Programmed")
	eventuallySays(t, "tlsroute/pass", "Accepted=True/Accepted")
	eventuallySays(t, "backendtlspolicy/inner", "Accepted=True/Accepted")
	eventuallyPrints(t, "1", "get", "gateway/web", "-o", "jsonpath={.status.attachedListenerSets}")

	// An authority that did not sign the backend's certificate, then none.
	authority(t, "inner-ca", personCert)
	known.eventually(t, "www.shop.test/", answered(http.StatusBadGateway, ""))
	if a, err := ended.get("end.shop.test/"); err == nil {
		t.Errorf("an endpoint that is somebody else answers: %+v", a)
	}
	authority(t, "inner-ca", "")
	eventuallySays(t, "backendtlspolicy/inner", "ResolvedRefs=False/InvalidCACertificateRef")
	known.eventually(t, "www.shop.test/", answered(http.StatusInternalServerError, ""))
	passing.eventually(t, "a.pass.test/", by("inner"))

	eventually(t, slow, func() string {
		log := skiff(t, "logs", "--ingress", "--since", "10m")
		for _, want := range []string{
			" TLS a.pass.test gateway-tls/web/pass Passthrough 200 ", " TLS b.pass.test gateway-tls/web/pass - 404 0 ",
			" TLS end.shop.test gateway-tls/web/end Terminate 200 ", " TLS end.shop.test gateway-tls/web/end Terminate 502 0 ",
		} {
			if !strings.Contains(log, want) {
				return fmt.Sprintf("no %q in the access log:\n%s", want, log)
			}
		}
		return ""
	})
}
