package network_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/ingress"
	"skiff.local/skiff/local/network/networktest"
)

// Ingresses and a LoadBalancer Service both want a port of localhost: who has it keeps it, across restarts too, and the
// other one says where it answers instead.
func TestALoadBalancerAndIngressesShareAPort(t *testing.T) {
	port, second := freePort(t), freePort(t)
	options := networktest.Options{IngressPorts: httpproxy.Ports{HTTP: []uint16{uint16(port), uint16(second)}, HTTPS: []uint16{uint16(freePort(t))}}}
	c := networktest.Start(t, options)
	one, two := c.Serve("one"), c.Serve("two")
	route := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "site", UID: "site"},
		Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "routed", Port: networkingv1.ServiceBackendPort{Name: "http"}},
		}, IngressClassName: ptr.To(ingress.ClassName)},
	}
	makeRoute := func() {
		t.Helper()
		if _, err := c.Client.NetworkingV1().Ingresses("default").Create(t.Context(), route.DeepCopy(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	answers := func(host string, port int32, want string) {
		t.Helper()
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := httpGet(fmt.Sprintf("http://%s:%d/", host, port)); !strings.HasPrefix(got, want) {
				return got
			}
			return ""
		})
	}
	status := func(want func([]corev1.LoadBalancerIngress) bool) (at []corev1.LoadBalancerIngress) {
		t.Helper()
		networktest.Eventually(t, networktest.Patience, func() string {
			svc, err := c.Client.CoreV1().Services("default").Get(t.Context(), "balanced", metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			at = svc.Status.LoadBalancer.Ingress
			if !want(at) {
				return fmt.Sprintf("status: %+v", at)
			}
			return ""
		})
		return at
	}
	lost := func(at []corev1.LoadBalancerIngress) bool {
		return len(at) > 0 && (at[0].Hostname == "" || len(at[0].Ports) > 0)
	}
	has := func(at []corev1.LoadBalancerIngress) bool {
		return len(at) > 0 && at[0].Hostname == "localhost" && len(at[0].Ports) == 0
	}
	restart := func() {
		c.Stop()
		c.New(options)
		c.Ensure()
		c.Run()
	}

	c.Service(webService(c, "routed", 20, 0))
	c.Slice("default", "routed", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: one.IP.String()})
	makeRoute()
	answers("127.0.0.1", port, "one")

	balanced := webService(c, "balanced", 21, freePort(t))
	balanced.Spec.Type = corev1.ServiceTypeLoadBalancer
	balanced.Spec.Ports = balanced.Spec.Ports[:1]
	balanced.Spec.Ports[0].Port = port
	c.Service(balanced)
	c.Slice("default", "balanced", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: two.IP.String()})
	at := status(lost)
	own := at[len(at)-1].IP
	if own != "" { // elsewhere than on Linux there is none
		answers(own, port, "two")
	}
	answers("127.0.0.1", port, "one")
	networktest.Eventually(t, networktest.Patience, func() string {
		events, err := c.Client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		for _, e := range events.Items {
			if e.InvolvedObject.Name == "balanced" && strings.Contains(e.Message, "Ingress has it") && strings.Contains(e.Message, own) {
				return ""
			}
		}
		return fmt.Sprintf("no event says who has the port and where the Service answers: %+v", events.Items)
	})

	restart()
	answers("127.0.0.1", port, "one")
	answers(own, port, "two")
	status(lost)

	// The Ingress goes, and comes back to another port.
	if err := c.Client.NetworkingV1().Ingresses("default").Delete(t.Context(), "site", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	answers("127.0.0.1", port, "two")
	status(has)
	makeRoute()
	answers("127.0.0.1", second, "one")
	var said []string
	for _, p := range c.Network.Status().Problems {
		said = append(said, p.Message)
	}
	if want := fmt.Sprintf("Ingresses are not served on port %d: Service default/balanced has it; they answer on port %d", port, second); !strings.Contains(strings.Join(said, "\n"), want) {
		t.Errorf("the status does not say %q:\n%s", want, strings.Join(said, "\n"))
	}
	restart()
	answers("127.0.0.1", port, "two")
	answers("127.0.0.1", second, "one")
	status(has)
}
