package network_test

import (
	"context"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/local/network/networktest"
)

// Pods reach a Service on its externalIPs, as if the cluster owned these; what else there is at that address stays there.
func TestExternalIPsAnswerPods(t *testing.T) {
	c := networktest.Start(t, networktest.Options{})
	server, client := c.Pod("default", "server", nil), c.Pod("default", "client", nil)
	const external = "198.51.100.7" // of a network for documentation: nobody is there
	s := webService(c, "web", 20, 0)
	s.Spec.ExternalIPs = []string{external, c.PodIP(300)}
	c.Service(s)
	// Whatever this machine's network makes of that address, it does not answer with the pod's name.
	reaches := func(from *networktest.Pod, want bool) {
		t.Helper()
		networktest.Eventually(t, networktest.Patience, func() string {
			got := from.Probe("get", "http://"+external+"/")
			if strings.HasPrefix(got, "server from") != want {
				return from.Name + ": " + got
			}
			return ""
		})
	}
	networktest.Eventually(t, networktest.Patience, func() string { // without endpoints
		if got := client.Probe("connect", external+":80"); !strings.HasPrefix(got, "refused") {
			return got
		}
		return ""
	})
	c.Slice("default", "web", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: server.IP.String()})
	reaches(client, true)
	if got := client.Probe("udp", external+":90", "ping"); !strings.HasSuffix(got, " ping") {
		t.Errorf("UDP: %q", got)
	}
	reaches(server, true) // itself

	// A pod that comes later gets its way before its first container.
	late := c.Pod("default", "late", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Network.Guard(ctx, late.Object, late.IP); err != nil {
		t.Fatal(err)
	}
	reaches(late, true)

	// Policies hold there too.
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "none"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
	if _, err := c.Client.NetworkingV1().NetworkPolicies("default").Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reaches(client, false)
	if err := c.Client.NetworkingV1().NetworkPolicies("default").Delete(t.Context(), "none", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	reaches(client, true)

	s.Spec.ExternalIPs = nil
	c.Service(s)
	reaches(client, false)
	reaches(late, false)
}
