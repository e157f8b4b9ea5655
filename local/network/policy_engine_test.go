package network_test

import (
	"context"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"skiff.local/skiff/local/network/networktest"
)

func TestNetworkPoliciesAreEnforced(t *testing.T) {
	c := networktest.Start(t, networktest.Options{})
	db := c.Pod("default", "db", map[string]string{"app": "db"})
	web := c.Pod("default", "web", map[string]string{"app": "web"})
	other := c.Pod("default", "other", map[string]string{"app": "other"})
	c.Service(webService(c, "db", 20, 0))
	c.Slice("default", "db", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: db.IP.String()})
	c.Namespace("kube-system")
	direct, service := db.IP.String()+":8080", c.ServiceIP(20)+":80"

	apply := func(name, spec string) {
		t.Helper()
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Client.NetworkingV1().NetworkPolicies("default").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := c.Client.NetworkingV1().NetworkPolicies("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	reaches := func(from *networktest.Pod, addr string) bool {
		return strings.HasPrefix(from.Probe("connect", addr), "open")
	}
	becomes := func(from *networktest.Pod, addr string, want bool) {
		t.Helper()
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := reaches(from, addr); got != want {
				return from.Name + " to " + addr + ": the other way round"
			}
			return ""
		})
	}
	settled := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), networktest.Patience)
		defer cancel()
		for _, p := range []*networktest.Pod{db, web, other} {
			if err := c.Network.Guard(ctx, p.Object, p.IP); err != nil {
				t.Fatal(err)
			}
		}
	}
	becomes(web, direct, true)
	becomes(other, service, true)

	t.Run("ingress", func(t *testing.T) {
		apply("db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.7/32]}}], ports: [{port: 8080}, {port: 8443}, {protocol: UDP, port: 9091}]}]}`)
		networktest.Eventually(t, networktest.Patience, func() string {
			if reaches(other, direct) {
				return "a pod that is not let through gets through"
			}
			return ""
		})
		becomes(other, service, false)
		for _, c := range []struct {
			from *networktest.Pod
			addr string
			want bool
		}{
			{web, direct, true}, {web, service, true}, {other, direct, false}, {other, service, false},
			{web, db.IP.String() + ":9091", false}, {db, other.IP.String() + ":8080", true}, {db, service, false},
		} {
			if got := reaches(c.from, c.addr); got != c.want {
				t.Errorf("%s to %s: %v", c.from.Name, c.addr, got)
			}
		}
		conn, err := c.Network.DialContext(t.Context(), "tcp", direct)
		if err != nil {
			t.Errorf("the node does not reach its own pod: %v", err)
		} else {
			conn.Close()
		}
		remove("db")
		becomes(other, direct, true)
		becomes(other, service, true)
	})

	t.Run("egress", func(t *testing.T) {
		apply("web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`)
		settled()
		becomes(web, service, false)
		if reaches(web, direct) || reaches(web, c.ServiceIP(1)+":443") {
			t.Error("a pod without egress gets out")
		}
		if got := web.Probe("resolve", "db.default.svc.cluster.local", "A", c.ServiceIP(10)); !strings.HasPrefix(got, "error") {
			t.Errorf("a pod without egress asks DNS: %q", got)
		}
		apply("dns", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{protocol: UDP, port: 53}]}]}`)
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := web.Probe("resolve", "db.default.svc.cluster.local", "A", c.ServiceIP(10), "udp"); got != c.ServiceIP(20) {
				return got
			}
			return ""
		})
		apply("to-db", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`)
		becomes(web, direct, true)
		becomes(web, service, true)
		if reaches(web, other.IP.String()+":8080") {
			t.Error("a pod gets where its policy does not lead")
		}
		for _, name := range []string{"web", "dns", "to-db"} {
			remove(name)
		}
		becomes(web, other.IP.String()+":8080", true)
	})

	t.Run("what is enforced stays without the daemon", func(t *testing.T) {
		apply("closed", `{podSelector: {matchLabels: {app: db}}}`)
		settled()
		becomes(other, service, false)
		c.Stop()
		if reaches(other, direct) || reaches(other, service) {
			t.Error("the policy went with the daemon")
		}
	})
}
