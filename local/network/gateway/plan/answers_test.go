package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"skiff.local/skiff/local/network/ingress"
)

func TestAnswersNameTheServicesBehindThem(t *testing.T) {
	c := planText(t, []string{`
gatewayClassName: skiff
listeners:
- {name: http, port: 80, protocol: HTTP}
- {name: own, port: 81, protocol: HTTP}
- {name: shut, port: 82, protocol: HTTP}
`}, []string{
		`{parentRefs: [{name: gw0, sectionName: http}], hostnames: [www.shop.test], rules: [
		  {backendRefs: [{name: web, port: 80}]},
		  {matches: [{path: {value: /api/}}], backendRefs: [{name: web-api, port: 80}, {name: web-new, port: 80}]},
		  {matches: [{path: {type: RegularExpression, value: "/a.*"}}], backendRefs: [{name: web-any, port: 80}]},
		  {matches: [{path: {value: /gone}}], backendRefs: [{name: lost, port: 80}]}]}`,
		`{parentRefs: [{name: gw0, sectionName: own}, {name: gw0, sectionName: shut}], rules: [{backendRefs: [{name: web, port: 80}]}]}`,
	})
	c.gateways[0].own = netip.MustParseAddr("127.64.0.9")
	at := func(l ingress.Listener) ingress.Serving {
		switch l.Port {
		case 80:
			return ingress.Serving{Shared: 8080, Own: true}
		case 81:
			return ingress.Serving{Own: true}
		}
		return ingress.Serving{}
	}
	var got []string
	for _, a := range c.Answers(at) {
		var services []string
		for _, s := range a.Services {
			services = append(services, s.Name)
		}
		got = append(got, fmt.Sprintf("%s %s/%s %s %s:%d%s -> %s", a.Kind, a.Namespace, a.Name, a.Host, a.Own, a.Port, a.Path, strings.Join(services, ",")))
	}
	want := []string{
		"HTTPRoute default/r0 www.shop.test invalid IP:8080/ -> web",
		"HTTPRoute default/r0 www.shop.test invalid IP:8080/api -> web-api,web-new",
		"HTTPRoute default/r0 www.shop.test invalid IP:8080/ -> web-any",
		"HTTPRoute default/r1  127.64.0.9:81/ -> web",
	}
	if !slices.Equal(got, want) {
		t.Errorf("answers:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
