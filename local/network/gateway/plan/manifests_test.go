package plan

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"skiff.local/skiff/local/network/httpproxy/certtest"
)

// planManifests plans objects that were created in the order that they are written in. In namespace default there is
// a Secret cert, and ConfigMaps ca and other with one authority each.
func planManifests(t *testing.T, manifests string) *Plan {
	t.Helper()
	o := Objects{Classes: []*gatewayv1.GatewayClass{skiffClass}}
	for i, text := range strings.Split(manifests, "\n---\n") {
		var head metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch head.Kind {
		case "Gateway":
			o.Gateways = append(o.Gateways, readManifest(t, text, i, &gatewayv1.Gateway{}))
		case "HTTPRoute":
			o.HTTPRoutes = append(o.HTTPRoutes, readManifest(t, text, i, &gatewayv1.HTTPRoute{}))
		case "TLSRoute":
			o.TLSRoutes = append(o.TLSRoutes, readManifest(t, text, i, &gatewayv1.TLSRoute{}))
		case "ListenerSet":
			o.Sets = append(o.Sets, readManifest(t, text, i, &gatewayv1.ListenerSet{}))
		case "BackendTLSPolicy":
			o.Policies = append(o.Policies, readManifest(t, text, i, &gatewayv1.BackendTLSPolicy{}))
		default:
			t.Fatalf("what is a %q?", head.Kind)
		}
	}
	cert, _ := certtest.Signed(t, "shop.test")
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	return Make(o, Surroundings{
		Services: town{}, Labels: func(string) map[string]string { return nil },
		Certificate: func(namespace, name string) (*tls.Certificate, error) {
			if namespace != "default" || name != "cert" {
				return nil, errors.New("it does not exist")
			}
			return &cert, nil
		},
		Authorities: func(namespace, name string) (string, error) {
			switch namespace + "/" + name {
			case "default/ca":
				return authority, nil
			case "default/other":
				return authority + authority, nil
			case "default/broken":
				return "none", nil
			}
			return "", errors.New("it does not exist")
		},
		Address: func(*gatewayv1.Gateway) netip.Addr { return netip.Addr{} },
	})
}

// readManifest reads an object, the nth that was created, in namespace default unless it says another.
func readManifest[T metav1.Object](t *testing.T, text string, nth int, into T) T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	into.SetCreationTimestamp(metav1.NewTime(time.Unix(int64(nth), 0)))
	if into.GetNamespace() == "" {
		into.SetNamespace("default")
	}
	return into
}

// describe says of each listener what it is accepted as, its references, who may connect, and which hosts go where.
func describe(c *Plan) []string {
	var lines []string
	for _, g := range c.gateways {
		for _, l := range g.listeners {
			_, owner := l.owner()
			line := fmt.Sprintf("%s/%s: %s %s", owner.GetName(), l.spec.Name, l.accepted.reason, l.resolved.reason)
			if !l.served() {
				line += ", not served"
			}
			if l.clients != nil {
				line += fmt.Sprintf(", clients optional=%v", l.clients.Optional)
			}
			if d := l.displaced; d != nil {
				line += fmt.Sprintf(", for %s/%s alone", d.gateway.object.Name, d.spec.Name)
			}
			for _, r := range l.routes {
				line += "; " + r.Host + " to "
				if b := r.Backend; b != nil {
					line += fmt.Sprintf("%s:%d %s", b.Service.Name, b.Port, b.Protocol)
					if b.TLS != nil {
						line += fmt.Sprintf(" as %s shown=%v", b.TLS.ServerName, b.TLS.Certificate != nil)
					}
				} else {
					line += "nobody"
				}
			}
			lines = append(lines, line)
		}
	}
	return lines
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func parents(c *Plan) []string {
	var lines []string
	for _, r := range c.routes {
		for _, p := range r.parents {
			lines = append(lines, fmt.Sprintf("%s: %s %s", r.object.GetName(), p.accepted.reason, p.resolved.reason))
		}
	}
	return lines
}
