package plan

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"

	"skiff.local/skiff/local/network/ingress"
)

func TestTLSRoutesGoToTLSListenersAlone(t *testing.T) {
	c := planManifests(t, `
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: skiff
  listeners:
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: pass, port: 443, protocol: TLS, hostname: "*.pass.test", tls: {mode: Passthrough}}
  - {name: end, port: 443, protocol: TLS, hostname: end.test, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}
  - {name: bare, port: 443, protocol: TLS, hostname: bare.test, tls: {mode: Terminate, certificateRefs: [{name: lost}]}}
  - {name: again, port: 443, protocol: TLS, tls: {mode: Passthrough}}
  - {name: plain, port: 443, protocol: HTTP, hostname: plain.test}
---
kind: TLSRoute
metadata: {name: db}
spec: {parentRefs: [{name: gw}], hostnames: [a.pass.test, end.test, else.test], rules: [{backendRefs: [{name: web, port: 443}]}]}
---
kind: TLSRoute
metadata: {name: broken}
spec: {parentRefs: [{name: gw}], hostnames: [b.pass.test], rules: [{backendRefs: [{name: lost, port: 443}]}]}
---
kind: TLSRoute
metadata: {name: astray}
spec: {parentRefs: [{name: gw, sectionName: https}], hostnames: [x.test], rules: [{backendRefs: [{name: web, port: 443}]}]}
---
kind: HTTPRoute
metadata: {name: pages}
spec: {parentRefs: [{name: gw, sectionName: pass}], hostnames: [a.pass.test], rules: [{backendRefs: [{name: web, port: 80}]}]}
`)
	same(t, describe(c),
		"gw/https: Accepted ResolvedRefs",
		"gw/pass: Accepted ResolvedRefs; a.pass.test to web:443 HTTP; b.pass.test to nobody",
		"gw/end: Accepted ResolvedRefs; end.test to web:443 HTTP",
		"gw/bare: Accepted InvalidCertificateRef, not served",
		"gw/again: HostnameConflict ResolvedRefs, not served",
		"gw/plain: ProtocolConflict ResolvedRefs, not served")
	same(t, parents(c),
		"pages: NotAllowedByListeners ResolvedRefs", "db: Accepted ResolvedRefs", "broken: Accepted BackendNotFound",
		"astray: NotAllowedByListeners ResolvedRefs")
}

func TestListenerSetsAddToTheGatewaysThatTakeThem(t *testing.T) {
	c := planManifests(t, `
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: skiff
  allowedListeners: {namespaces: {from: Same}}
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: gw.test}]
---
kind: Gateway
metadata: {name: shut}
spec: {gatewayClassName: skiff, listeners: [{name: http, port: 80, protocol: HTTP, hostname: shut.test}]}
---
kind: ListenerSet
metadata: {name: set}
spec:
  parentRef: {name: gw}
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: set.test}
  - {name: taken, port: 80, protocol: HTTP, hostname: gw.test}
  - {name: tcp, port: 80, protocol: TCP}
---
kind: ListenerSet
metadata: {name: late}
spec: {parentRef: {name: gw}, listeners: [{name: http, port: 80, protocol: HTTP, hostname: set.test}]}
---
kind: ListenerSet
metadata: {name: stranger, namespace: other}
spec: {parentRef: {name: gw, namespace: default}, listeners: [{name: http, port: 80, protocol: HTTP, hostname: other.test}]}
---
kind: ListenerSet
metadata: {name: refused}
spec: {parentRef: {name: shut}, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
kind: HTTPRoute
metadata: {name: both}
spec: {parentRefs: [{name: gw}, {kind: ListenerSet, name: set}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: nowhere}
spec: {parentRefs: [{kind: ListenerSet, name: refused}], rules: [{backendRefs: [{name: web, port: 80}]}]}
`)
	same(t, describe(c),
		"gw/http: Accepted ResolvedRefs; gw.test to web:80 HTTP",
		"set/http: Accepted ResolvedRefs; set.test to web:80 HTTP",
		"set/taken: HostnameConflict ResolvedRefs, not served",
		"set/tcp: ProtocolConflict ResolvedRefs, not served",
		"late/http: HostnameConflict ResolvedRefs, not served",
		"shut/http: Accepted ResolvedRefs")
	var sets []string
	for _, s := range c.sets {
		v := s.accepted()
		sets = append(sets, fmt.Sprintf("%s: %v %s", s.object.Name, v.ok, v.reason))
	}
	same(t, sets, "set: true ListenersNotValid", "late: false ListenersNotValid", "stranger: false NotAllowed", "refused: false NotAllowed")
	same(t, parents(c), "both: Accepted ResolvedRefs", "both: Accepted ResolvedRefs", "nowhere: Pending ResolvedRefs")
}

func TestClientsAreVerifiedByWhatTheirPortAsks(t *testing.T) {
	c := planManifests(t, `
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: skiff
  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}}
      perPort:
      - {port: 444, tls: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{group: "", kind: ConfigMap, name: other}]}}}
      - {port: 445, tls: {}}
      - {port: 446, tls: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: lost}]}}}
      - {port: 447, tls: {validation: {caCertificateRefs: [{group: "", kind: Service, name: ca}]}}}
      - {port: 448, tls: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: ca, namespace: other}]}}}
      - {port: 449, tls: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: broken}, {group: "", kind: ConfigMap, name: ca}]}}}
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: any, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: fallback, port: 444, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: open, port: 445, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: lost, port: 446, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: kind, port: 447, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: grant, port: 448, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: half, port: 449, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
---
kind: Gateway
metadata: {name: younger}
spec:
  gatewayClassName: skiff
  listeners:
  - {name: any, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: own, port: 443, protocol: HTTPS, hostname: own.test, tls: {certificateRefs: [{name: cert}]}}
  - {name: plain, port: 445, protocol: HTTP}
`)
	same(t, describe(c),
		"gw/http: Accepted ResolvedRefs",
		"gw/any: Accepted ResolvedRefs, clients optional=false",
		"gw/fallback: Accepted ResolvedRefs, clients optional=true",
		"gw/open: Accepted ResolvedRefs",
		"gw/lost: NoValidCACertificate InvalidCACertificateRef, not served",
		"gw/kind: NoValidCACertificate InvalidCACertificateKind, not served",
		"gw/grant: NoValidCACertificate RefNotPermitted, not served",
		"gw/half: Accepted InvalidCACertificateRef, clients optional=false",
		// Where localhost asks clients of an older Gateway for certificates, a younger one that does not is not there.
		"younger/any: Accepted ResolvedRefs, for gw/any alone",
		"younger/own: Accepted ResolvedRefs",
		"younger/plain: Accepted ResolvedRefs, for gw/open alone")
}

const backendPolicies = `
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: skiff
  tls: {backend: {clientCertificateRef: {name: cert}}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
kind: Gateway
metadata: {name: plain}
spec:
  gatewayClassName: skiff
  tls: {backend: {clientCertificateRef: {name: lost}}}
  listeners: [{name: http, port: 81, protocol: HTTP}]
---
kind: BackendTLSPolicy
metadata: {name: whole}
spec: {targetRefs: [{group: "", kind: Service, name: web}], validation: {hostname: whole.test, wellKnownCACertificates: System}}
---
kind: BackendTLSPolicy
metadata: {name: port}
spec: {targetRefs: [{group: "", kind: Service, name: web, sectionName: https}], validation: {hostname: port.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}}
---
kind: BackendTLSPolicy
metadata: {name: late}
spec: {targetRefs: [{group: "", kind: Service, name: web}], validation: {hostname: late.test, wellKnownCACertificates: System}}
---
kind: BackendTLSPolicy
metadata: {name: lost}
spec: {targetRefs: [{group: "", kind: Service, name: web-lost}], validation: {hostname: x.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: lost}]}}
---
kind: BackendTLSPolicy
metadata: {name: idle}
spec: {targetRefs: [{group: "", kind: Service, name: web-idle}], validation: {hostname: x.test, wellKnownCACertificates: "a.test/b"}}
---
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}, {name: plain}]
  rules:
  - backendRefs: [{name: web, port: 443}]
  - backendRefs: [{name: web, port: 80}]
  - backendRefs: [{name: web-lost, port: 80}]
  - backendRefs: [{name: web-open, port: 80}]
`

func TestPoliciesSayHowBackendsAreSpokenTo(t *testing.T) {
	c := planManifests(t, backendPolicies)
	same(t, describe(c),
		"gw/http: Accepted ResolvedRefs;  to web:443 HTTPS as port.test shown=true;  to web:80 HTTPS as whole.test shown=true;  to nobody;  to web-open:80 HTTP",
		"plain/http: Accepted ResolvedRefs;  to web:443 HTTPS as port.test shown=false;  to web:80 HTTPS as whole.test shown=false;  to nobody;  to web-open:80 HTTP")
	if c.gateways[0].listeners[0].routes[0].Backend.TLS.ID == c.gateways[1].listeners[0].routes[0].Backend.TLS.ID {
		t.Error("connections on which a certificate is shown have the ID of those on which none is")
	}
	var policies []string
	for _, p := range c.policies {
		var users []string
		for _, g := range p.gateways {
			users = append(users, g.object.Name)
		}
		policies = append(policies, fmt.Sprintf("%s: %s %s, of %v", p.object.Name, p.accepted.reason, p.resolved.reason, users))
	}
	same(t, policies,
		"whole: Accepted ResolvedRefs, of [gw plain]", "port: Accepted ResolvedRefs, of [gw plain]", "late: Conflicted ResolvedRefs, of [gw plain]",
		"lost: NoValidCACertificate InvalidCACertificateRef, of [gw plain]", "idle: Invalid ResolvedRefs, of []")
	if v := c.gateways[1].identity.resolved; v.reason != "InvalidClientCertificateRef" {
		t.Errorf("a client certificate that is missing: %+v", v)
	}
}

func TestPoliciesReachAllWhomTheGatewaySpeaksTo(t *testing.T) {
	c := planManifests(t, `
kind: Gateway
metadata: {name: ends}
spec:
  gatewayClassName: skiff
  tls: {backend: {clientCertificateRef: {name: cert}}}
  listeners:
  - {name: end, port: 443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}
  - {name: http, port: 80, protocol: HTTP}
---
kind: Gateway
metadata: {name: passes}
spec: {gatewayClassName: skiff, listeners: [{name: pass, port: 444, protocol: TLS, tls: {mode: Passthrough}}]}
---
kind: BackendTLSPolicy
metadata: {name: good}
spec: {targetRefs: [{group: "", kind: Service, name: web}], validation: {hostname: web.test, wellKnownCACertificates: System}}
---
kind: BackendTLSPolicy
metadata: {name: bad}
spec: {targetRefs: [{group: "", kind: Service, name: web-bad}], validation: {hostname: x.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: lost}]}}
---
kind: TLSRoute
metadata: {name: good}
spec: {parentRefs: [{name: ends}, {name: passes}], hostnames: [good.test], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
kind: TLSRoute
metadata: {name: bad}
spec: {parentRefs: [{name: ends}, {name: passes}], hostnames: [bad.test], rules: [{backendRefs: [{name: web-bad, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: copied}
spec:
  parentRefs: [{name: ends}]
  rules:
  - backendRefs: [{name: web-open, port: 80}]
    filters:
    - {type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: web-bad, port: 80}}}
`)
	same(t, describe(c),
		"ends/end: Accepted ResolvedRefs; good.test to web:80 HTTPS as web.test shown=true; bad.test to nobody",
		"ends/http: Accepted ResolvedRefs;  to web-open:80 HTTP",
		"passes/pass: Accepted ResolvedRefs; good.test to web:80 HTTP; bad.test to web-bad:80 HTTP")
	if m := c.gateways[0].listeners[1].routes[0].Mirrors; len(m) != 1 || m[0].Backend.TLS == nil || m[0].Backend.TLS.Certificate == nil {
		t.Errorf("copies go to %+v", m)
	}
	for _, p := range c.policies {
		if len(p.gateways) != 1 || p.gateways[0].object.Name != "ends" {
			t.Errorf("policy %s is used by %d gateways, not by the one that ends TLS alone", p.object.Name, len(p.gateways))
		}
	}
}

func TestStatusesOfEveryKindDoNotChangeAgain(t *testing.T) {
	c := planManifests(t, backendPolicies+`
---
kind: ListenerSet
metadata: {name: set}
spec: {parentRef: {name: gw}, listeners: [{name: http, port: 80, protocol: HTTP}]}
`)
	at := func(ingress.Listener) ingress.Serving { return ingress.Serving{Shared: 80} }
	for _, g := range c.gateways {
		g.object.Status = gatewayStatus(g, at)
		if again := gatewayStatus(g, at); !equality.Semantic.DeepEqual(again, g.object.Status) {
			t.Errorf("gateway %s: %v\nafter\n%v", g.object.Name, again, g.object.Status)
		}
	}
	for _, p := range c.policies {
		p.object.Status = policyStatus(p)
		if again := policyStatus(p); !equality.Semantic.DeepEqual(again, p.object.Status) {
			t.Errorf("policy %s: %v\nafter\n%v", p.object.Name, again, p.object.Status)
		}
	}
	for _, s := range c.sets {
		s.object.Status = s.status(at)
		if again := s.status(at); !equality.Semantic.DeepEqual(again, s.object.Status) {
			t.Errorf("set %s: %v\nafter\n%v", s.object.Name, again, s.object.Status)
		}
	}
}
