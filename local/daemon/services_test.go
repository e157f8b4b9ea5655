package daemon

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
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
