package plan

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"skiff.local/skiff/local/network/ingress"
	"skiff.local/skiff/local/network/relayproto"
)

// town is what a cluster has around Gateways: Services whose names begin with "web", no Secrets.
type town struct{}

func (town) Port(key relayproto.Key, number uint16, _ string) (uint16, error) {
	if !strings.HasPrefix(key.Name, "web") {
		return 0, fmt.Errorf("service %s does not exist", key.Name)
	}
	return number, nil
}
func (town) AppProtocol(relayproto.Key, uint16) string { return "" }
func (town) PortName(_ relayproto.Key, port uint16) string {
	if port == 443 {
		return "https"
	}
	return ""
}

var skiffClass = &gatewayv1.GatewayClass{
	ObjectMeta: metav1.ObjectMeta{Name: ClassName}, Spec: gatewayv1.GatewayClassSpec{ControllerName: ControllerName},
}

func planText(t *testing.T, gateways, routes []string) *Plan {
	t.Helper()
	o := Objects{Classes: []*gatewayv1.GatewayClass{skiffClass}}
	for i, text := range gateways {
		gw := &gatewayv1.Gateway{}
		if err := yaml.UnmarshalStrict([]byte(text), &gw.Spec); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		gw.ObjectMeta = named("gw", i)
		o.Gateways = append(o.Gateways, gw)
	}
	for i, text := range routes {
		r := &gatewayv1.HTTPRoute{}
		if err := yaml.UnmarshalStrict([]byte(text), &r.Spec); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		r.ObjectMeta = named("r", i)
		o.HTTPRoutes = append(o.HTTPRoutes, r)
	}
	return Make(o, Surroundings{
		Services: town{}, Labels: func(string) map[string]string { return nil },
		Certificate: func(string, string) (*tls.Certificate, error) { return nil, errors.New("it does not exist") },
		Address:     func(*gatewayv1.Gateway) netip.Addr { return netip.Addr{} },
	})
}

func named(kind string, i int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint(kind, i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}
}

func TestRoutesGoToTheListenersThatHaveTheirHosts(t *testing.T) {
	c := planText(t, []string{`
gatewayClassName: skiff
listeners:
- {name: any, port: 80, protocol: HTTP}
- {name: wild, port: 80, protocol: HTTP, hostname: "*.shop.test"}
- {name: one, port: 80, protocol: HTTP, hostname: www.shop.test}
- {name: twin, port: 80, protocol: HTTP, hostname: www.shop.test}
- {name: tcp, port: 81, protocol: TCP}
`}, []string{
		`{parentRefs: [{name: gw0}], hostnames: [www.shop.test, api.shop.test, else.test], rules: [{backendRefs: [{name: web, port: 80}]}]}`,
		`{parentRefs: [{name: gw0, sectionName: wild}], rules: [{backendRefs: [{name: web, port: 80}]}]}`,
		`{parentRefs: [{name: gw0, sectionName: one}], hostnames: ["*.shop.test"], rules: [{backendRefs: [{name: web, port: 80}]}]}`,
	})
	var got []string
	for _, l := range c.gateways[0].listeners {
		var hosts []string
		for _, r := range l.routes {
			hosts = append(hosts, r.Owner[len("HTTPRoute default/"):]+" "+r.Host)
		}
		got = append(got, fmt.Sprintf("%s %s: %s", l.spec.Name, l.accepted.reason, strings.Join(hosts, ", ")))
	}
	want := []string{
		"any Accepted: r0 else.test",
		"wild Accepted: r0 api.shop.test, r1 *.shop.test",
		"one Accepted: r0 www.shop.test, r2 www.shop.test",
		"twin HostnameConflict: ",
		"tcp UnsupportedProtocol: ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("listeners:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatARuleCantHaveIsSaidAndAnsweredWithAnError(t *testing.T) {
	const gw = `{gatewayClassName: skiff, listeners: [{name: http, port: 80, protocol: HTTP}]}`
	for name, c := range map[string]struct{ rules, want string }{
		"a Service that is missing": {`[{backendRefs: [{name: lost, port: 80}]}]`,
			"Accepted, BackendNotFound, [500: service lost does not exist]"},
		"one of two Services is missing": {`[{backendRefs: [{name: web, port: 80}, {name: lost, port: 80}]}]`,
			"Accepted, BackendNotFound, [2 shares]"},
		"no weight at all": {`[{backendRefs: [{name: web, port: 80, weight: 0}]}]`, "Accepted, ResolvedRefs, [500: the rule has no backend]"},
		"a backend of another kind": {`[{backendRefs: [{name: web, kind: Bucket, group: store.test}]}]`,
			"Accepted, InvalidKind, [500: backend web is a Bucket, only Services are served]"},
		"a backend elsewhere": {`[{backendRefs: [{name: web, namespace: other, port: 80}]}]`,
			"Accepted, RefNotPermitted, [500: no ReferenceGrant of namespace other lets a HTTPRoute of namespace default use service web]"},
		"an expression that is none": {`[{matches: [{path: {type: RegularExpression, value: "("}}], backendRefs: [{name: web, port: 80}]}]`,
			"UnsupportedValue, ResolvedRefs, []"},
		"a filter of somebody else's": {`[{filters: [{type: ExtensionRef, extensionRef: {group: a.test, kind: Auth, name: x}}], backendRefs: [{name: web, port: 80}]}]`,
			"UnsupportedValue, ResolvedRefs, [500: the filter ExtensionRef is not served]"},
		"one rule of two": {`[{matches: [{path: {value: /a}}], backendRefs: [{name: web, port: 80}]}, {filters: [{type: ExtensionRef, extensionRef: {group: a.test, kind: Auth, name: x}}], backendRefs: [{name: web, port: 80}]}]`,
			"Accepted, ResolvedRefs, [web] [500: the filter ExtensionRef is not served], Dropped Rule: the filter ExtensionRef is not served"},
	} {
		t.Run(name, func(t *testing.T) {
			out := planText(t, []string{gw}, []string{`{parentRefs: [{name: gw0}], rules: ` + c.rules + `}`})
			p := out.routes[0].parents[0]
			var answers []string
			for _, r := range out.gateways[0].listeners[0].routes {
				switch {
				case r.Backend != nil:
					answers = append(answers, "["+r.Backend.Service.Name+"]")
				case len(r.Shares) > 0:
					answers = append(answers, fmt.Sprintf("[%d shares]", len(r.Shares)))
				default:
					answers = append(answers, fmt.Sprintf("[%d: %s]", r.UnavailableCode, r.Unavailable))
				}
			}
			if answers == nil {
				answers = []string{"[]"}
			}
			got := p.accepted.reason + ", " + p.resolved.reason + ", " + strings.Join(answers, " ")
			if p.partial != "" {
				got += ", " + p.partial
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAStatusThatIsPublishedDoesNotChangeAgain(t *testing.T) {
	c := planText(t, []string{`{gatewayClassName: skiff, listeners: [{name: http, port: 80, protocol: HTTP}, {name: tcp, port: 81, protocol: TCP}]}`}, nil)
	at := func(ingress.Listener) ingress.Serving {
		return ingress.Serving{Shared: 8080, Problem: "port 80: in use"}
	}
	g := c.gateways[0]
	g.object.Status = gatewayStatus(g, at)
	if again := gatewayStatus(g, at); !equality.Semantic.DeepEqual(again, g.object.Status) {
		t.Errorf("a second status:\n%v\nafter\n%v", again, g.object.Status)
	}
}
