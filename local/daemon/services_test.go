package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/network/gateway/plan"
	"skiff.local/skiff/local/network/relayproto"
)

func TestServiceURLs(t *testing.T) {
	port := func(name string, port, nodePort int32, app *string) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: port, NodePort: nodePort, Protocol: corev1.ProtocolTCP, AppProtocol: app}
	}
	udp := port("dns", 53, 30053, nil)
	udp.Protocol = corev1.ProtocolUDP
	services := []*corev1.Service{
		{ObjectMeta: metav1.ObjectMeta{Name: "inner"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP}},
		{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{
			port("http", 80, 30080, nil), port("https", 443, 30443, nil), port("x", 9000, 30900, ptr.To("tcp")), udp,
		}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "lb"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{
			port("", 80, 30081, nil), port("", 81, 30082, nil),
		}}},
	}
	// Somebody else has localhost:81 and the node port 30900.
	at := func(s *corev1.Service, port int32, _ corev1.Protocol) []netip.Addr {
		shared, own := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.64.3.4")
		switch port {
		case 80:
			return []netip.Addr{shared, own, netip.IPv6Loopback()}
		case 81:
			return []netip.Addr{own}
		case 30900:
			return nil
		}
		return []netip.Addr{shared, netip.IPv6Loopback()}
	}
	want := map[string]string{
		"web": "http://127.0.0.1:30080 https://127.0.0.1:30443 udp://127.0.0.1:30053",
		"lb":  "http://localhost http://127.64.3.4 http://127.64.3.4:81 http://127.0.0.1:30081 http://127.0.0.1:30082",
	}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, s := range services {
		s.Namespace = "default"
		if err := index.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	got, err := serviceURLs(corelisters.NewServiceLister(index), at)
	if err != nil || len(got) != len(want) {
		t.Fatalf("serviceURLs = %v, %v", got, err)
	}
	for _, s := range got {
		if urls := strings.Join(s.URLs, " "); urls != want[s.Name] {
			t.Errorf("%s: %s, want %s", s.Name, urls, want[s.Name])
		}
	}
}

func TestIngressesAreListedByHost(t *testing.T) {
	served := networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{{Hostname: "localhost"}}}}
	hosts := func(names ...string) (rules []networkingv1.IngressRule) {
		for _, n := range names {
			rules = append(rules, networkingv1.IngressRule{Host: n})
		}
		return rules
	}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for name, ing := range map[string]*networkingv1.Ingress{
		"shop":        {Spec: networkingv1.IngressSpec{Rules: hosts("shop.localhost", "pay.localhost"), TLS: []networkingv1.IngressTLS{{Hosts: []string{"pay.localhost"}}}}, Status: served},
		"shop-canary": {Spec: networkingv1.IngressSpec{Rules: hosts("shop.localhost")}, Status: served},
		"any":         {Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{}}, Status: served},
		"theirs":      {Spec: networkingv1.IngressSpec{Rules: hosts("x.example.com")}},
	} {
		ing.Namespace, ing.Name = "web", name
		if err := index.Add(ing); err != nil {
			t.Fatal(err)
		}
	}
	for ports, want := range map[webPorts][]string{
		{80, 443}:    {"any http://localhost", "shop http://shop.localhost https://pay.localhost"},
		{8080, 8443}: {"any http://localhost:8080", "shop http://shop.localhost:8080 https://pay.localhost:8443"},
		{8080, 0}:    {"any http://localhost:8080", "shop http://shop.localhost:8080"},
	} {
		list, err := ingressURLs(networkinglisters.NewIngressLister(index), ports)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range list {
			got = append(got, s.Name+" "+strings.Join(s.URLs, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("on ports %v: %q, want %q", ports, got, want)
		}
	}
}

func TestTheURLsThatLeadToAServiceHaveItsPaths(t *testing.T) {
	to := func(service string) networkingv1.IngressBackend {
		return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service}}
	}
	path := func(path string, kind networkingv1.PathType, service string) networkingv1.HTTPIngressPath {
		return networkingv1.HTTPIngressPath{Path: path, PathType: &kind, Backend: to(service)}
	}
	rule := networkingv1.IngressRule{Host: "shop.localhost"}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{
		path("/", networkingv1.PathTypePrefix, "web"), path("/api", networkingv1.PathTypePrefix, "api"),
		path("/v[0-9]+", networkingv1.PathTypeImplementationSpecific, "old"),
	}}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	if err := index.Add(&networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop"}, Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}},
		Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{{Hostname: "localhost"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	list, err := ingressURLs(networkinglisters.NewIngressLister(index), webPorts{80, 443})
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, routeURLs([]plan.Answer{
		{Kind: "HTTPRoute", Namespace: "web", Name: "shop", Host: "www.test", Port: 8080, Path: "/", Services: []relayproto.Key{{Namespace: "web", Name: "web"}}},
		{Kind: "HTTPRoute", Namespace: "web", Name: "shop", Host: "www.test", Port: 8080, Path: "/api", Services: []relayproto.Key{{Namespace: "web", Name: "api"}, {Namespace: "lent", Name: "api"}}},
		{Kind: "HTTPRoute", Namespace: "web", Name: "shop", Own: netip.MustParseAddr("127.64.0.9"), Port: 80, Path: "/"},
		{Kind: "GRPCRoute", Namespace: "web", Name: "rpc", Secure: true, Port: 443, Path: "/shop.Cart/Add", Services: []relayproto.Key{{Namespace: "web", Name: "api"}}},
	})...)
	var got []string
	for _, s := range list {
		got = append(got, fmt.Sprint(s.Type, " ", s.Name, " ", s.URLs, " ", s.To))
	}
	want := []string{
		"Ingress shop [http://shop.localhost] map[web/api:[http://shop.localhost/api] web/old:[http://shop.localhost] web/web:[http://shop.localhost]]",
		"GRPCRoute rpc [https://localhost] map[web/api:[https://localhost]]",
		"HTTPRoute shop [http://www.test:8080 http://127.64.0.9] map[lent/api:[http://www.test:8080/api] web/api:[http://www.test:8080/api] web/web:[http://www.test:8080]]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
