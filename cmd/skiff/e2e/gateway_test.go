package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skiff.local/skiff/local/network/networktest/ports"
)

// gatewayAPI applies the definitions of the release that skiff is built with, and removes them afterwards.
func gatewayAPI(t *testing.T) {
	t.Helper()
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatalf("find the Gateway API's definitions: %v", err)
	}
	args := []string{"--server-side"}
	for _, name := range []string{"gatewayclasses", "gateways", "httproutes", "grpcroutes", "tlsroutes", "listenersets", "backendtlspolicies", "referencegrants"} {
		args = append(args, "-f", filepath.Join(strings.TrimSpace(string(module)), "config/crd/standard", "gateway.networking.k8s.io_"+name+".yaml"))
	}
	kubectl(t, append([]string{"apply"}, args...)...)
	t.Cleanup(func() {
		c := exec.Command(shared.kubectl, append([]string{"delete", "--wait=false"}, args[1:]...)...)
		c.Env = shared.env
		_ = c.Run()
	})
}

// conditions are all of an object's, those of listeners and parents included.
const conditions = "{range ..conditions[*]}{.type}={.status}/{.reason} {end}"

func eventuallySays(t *testing.T, object, condition string) {
	t.Helper()
	eventuallyPrints(t, condition, "get", object, "-o", "jsonpath="+conditions)
}

// The definitions come to a daemon that has run for a while without them.
func TestGatewaysAreServed(t *testing.T) {
	ensureStarted(t)
	namespace(t, "gateway")
	for _, name := range []string{"one", "two"} {
		backend(t, name)
	}
	gatewayAPI(t)
	eventuallySays(t, "gatewayclass/skiff", "Accepted=True/Accepted")

	port, tlsPort := int(ports.Free(t)), int(ports.Free(t))
	roots := tlsSecret(t, "cert", "*.shop.test")
	apply(t, fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: skiff
  listeners:
  - {name: http, port: %d, protocol: HTTP}
  - {name: https, port: %d, protocol: HTTPS, hostname: "*.shop.test", tls: {certificateRefs: [{name: cert}]}}
  - {name: lost, port: %[1]d, protocol: HTTPS, hostname: lost.test, tls: {certificateRefs: [{name: nowhere}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: web}]
  hostnames: [www.shop.test]
  rules:
  - backendRefs: [{name: one, port: 80}]
  - matches: [{path: {value: /api}, headers: [{name: x-version, value: "2"}]}, {queryParams: [{name: version, value: "2"}]}]
    backendRefs: [{name: two, port: 80}]
  - matches: [{path: {type: Exact, value: /split}, method: POST}]
    backendRefs: [{name: one, port: 80, weight: 1}, {name: two, port: 80, weight: 3}]
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, port: 8443, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]
  - matches: [{path: {value: /edit}}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: inner.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: skiff}], remove: [x-secret]}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-answered, value: "yes"}]}}
    backendRefs: [{name: one, port: 80}]
  - matches: [{path: {value: /gone}}]
    backendRefs: [{name: three, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: rpc}
spec:
  parentRefs: [{name: web, sectionName: https}]
  hostnames: [rpc.shop.test]
  rules:
  - matches: [{method: {service: shop.Cart, method: Add}}]
    backendRefs: [{name: two, port: 80}]
`, port, tlsPort))

	shop := browser{at: at(port)}
	shop.eventually(t, "www.shop.test/", by("one"))
	shop.eventually(t, "www.shop.test/api/x", by("two"), "X-Version: 2")
	shop.eventually(t, "www.shop.test/any?version=2", by("two"))
	shop.eventually(t, "www.shop.test/apis", by("one"), "X-Version: 2")
	shop.eventually(t, "other.test/", answered(http.StatusNotFound, ""))
	shop.eventually(t, "www.shop.test/old/a?b=c", answered(http.StatusMovedPermanently, "https://www.shop.test:8443/new/a?b=c"))
	edited := shop.eventually(t, "www.shop.test/edit/a%20b", by("one"), "X-Secret: 1")
	if s := edited.seen; s.Host != "inner.test" || s.Path != "/a b" || s.Header.Get("X-Set") != "skiff" || s.Header.Get("X-Secret") != "" || edited.header.Get("X-Answered") != "yes" {
		t.Errorf("a request through filters: %+v, answered with %v", s, edited.header)
	}
	shares := map[string]int{}
	for range 200 {
		a, err := shop.get("POST www.shop.test/split")
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("POST /split: %v %d %s", err, a.status, a.body)
		}
		shares[a.seen.Backend]++
	}
	if shares["one"] < 20 || shares["two"] < 100 { // 50 and 150 are due; less than 20 has a chance of one in 10^7
		t.Errorf("of weights 1 and 3: %v", shares)
	}
	secure := browser{at: at(tlsPort), roots: roots}
	if a := secure.eventually(t, "www.shop.test/", by("one")); a.proto != "HTTP/2.0" {
		t.Errorf("over TLS: %s", a.proto)
	}
	if a := secure.eventually(t, "POST rpc.shop.test/shop.Cart/Add", by("two"), "Content-Type: application/grpc"); a.header.Get("Grpc-Status") != "0" || a.seen.Proto != "HTTP/2.0" {
		t.Errorf("gRPC: %+v", a)
	}
	if a, err := secure.get("POST rpc.shop.test/shop.Cart/Drop", "Content-Type: application/grpc"); err != nil || a.header.Get("Grpc-Status") != "12" {
		t.Errorf("a gRPC method that is not routed: %+v, %v", a, err)
	}

	if got, want := skiff(t, "service", "two", "-n", "gateway", "--url"), fmt.Sprintf("http://www.shop.test:%d/api", port); !strings.Contains(got, want) {
		t.Errorf("the URLs that lead to a Service are %q, without %s", got, want)
	}

	// What is wrong is said, and did not hinder the rest.
	shop.eventually(t, "www.shop.test/gone", answered(http.StatusInternalServerError, ""))
	eventuallySays(t, "httproute/shop", "ResolvedRefs=False/BackendNotFound")
	eventuallySays(t, "gateway/web", "Accepted=True/ListenersNotValid")
	eventuallySays(t, "gateway/web", "Conflicted=True/ProtocolConflict")
	eventuallyPrints(t, "localhost", "get", "gateway/web", "-o", "jsonpath={.status.addresses[*].value}")
	troubleWithGateways(t, shop)

	// What a script does right after a start finds the ports open.
	killDaemon(t)
	skiff(t, "start")
	for _, b := range []browser{shop, secure} {
		if a, err := b.get("www.shop.test/"); err != nil || a.status != http.StatusOK {
			t.Errorf("%s, right after the start: %d %s, %v", b.at, a.status, a.body, err)
		}
	}

	// The address that a Gateway has for itself answers alone, and is free when the Gateway goes.
	kubectl(t, "delete", "gateway", "web")
	eventually(t, slow, func() string {
		if c, err := net.Dial("tcp", shop.at); err == nil {
			c.Close()
			return "the port of a Gateway that is gone still answers"
		}
		return ""
	})
}

// troubleWithGateways applies what can't be served, to the namespace of a Gateway that is.
func troubleWithGateways(t *testing.T, shop browser) {
	t.Helper()
	apply(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: elsewhere}
spec:
  gatewayClassName: skiff
  addresses: [{value: 198.51.100.7}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: closed}
spec:
  gatewayClassName: skiff
  listeners: [{name: https, port: 18443, protocol: HTTPS, tls: {certificateRefs: [{name: nowhere}]}}]
---
apiVersion: v1
kind: Namespace
metadata: {name: gateway-other}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: stranger, namespace: gateway-other}
spec: {parentRefs: [{name: web, namespace: gateway}], hostnames: [x.test]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: unheard}
spec: {parentRefs: [{name: web, sectionName: https}], hostnames: [x.test]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: doorless}
spec: {parentRefs: [{name: web, sectionName: nothing}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: borrower}
spec:
  parentRefs: [{name: web}]
  hostnames: [borrow.test]
  rules: [{backendRefs: [{name: lent, namespace: gateway-other, port: 80}]}]
`)
	t.Cleanup(func() {
		c := exec.Command(shared.kubectl, "delete", "namespace", "gateway-other", "--wait=false")
		c.Env = shared.env
		_ = c.Run()
	})
	eventuallySays(t, "gateway/elsewhere", "Programmed=False/AddressNotUsable")
	eventuallySays(t, "gateway/closed", "ResolvedRefs=False/InvalidCertificateRef")
	eventuallyPrints(t, "Accepted=False/NotAllowedByListeners", "get", "httproute/stranger", "-n", "gateway-other", "-o", "jsonpath="+conditions)
	eventuallySays(t, "httproute/unheard", "Accepted=False/NoMatchingListenerHostname")
	eventuallySays(t, "httproute/doorless", "Accepted=False/NoMatchingParent")
	eventuallySays(t, "httproute/borrower", "ResolvedRefs=False/RefNotPermitted")
	shop.eventually(t, "borrow.test/", answered(http.StatusInternalServerError, ""))
	apply(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: lend, namespace: gateway-other}
spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: gateway}], to: [{group: "", kind: Service}]}
`)
	eventuallySays(t, "httproute/borrower", "ResolvedRefs=False/BackendNotFound")
	shop.eventually(t, "www.shop.test/", by("one"))
}

func at(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
