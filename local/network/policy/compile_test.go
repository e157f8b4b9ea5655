package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"skiff.local/skiff/local/network/relayproto"
)

func pod(namespace, name, ip string, lbls string, ports ...string) Pod {
	p := Pod{Namespace: namespace, Name: name, UID: types.UID(name), Labels: map[string]string{}, Addrs: []netip.Addr{netip.MustParseAddr(ip)}}
	for _, l := range strings.Fields(lbls) {
		k, v, _ := strings.Cut(l, "=")
		p.Labels[k] = v
	}
	for _, s := range ports {
		var n int32
		name, number, _ := strings.Cut(s, ":")
		fmt.Sscan(number, &n)
		p.Ports = append(p.Ports, corev1.ContainerPort{Name: name, ContainerPort: n, Protocol: corev1.ProtocolTCP})
	}
	return p
}

// text writes a direction as "open" or the list of what is let through.
func text(i *relayproto.Isolation) string {
	if i == nil {
		return "open"
	}
	var all []string
	for _, a := range i.Allow {
		s := "any"
		if !a.AnyPeer {
			var peers []string
			for _, r := range a.Peers {
				if r.First == r.Last {
					peers = append(peers, r.First.String())
				} else {
					peers = append(peers, r.First.String()+"-"+r.Last.String())
				}
			}
			s = strings.Join(peers, ",")
		}
		for _, p := range a.Ports {
			s += fmt.Sprintf(" %s:%d", p.Protocol, p.First)
			if p.Last != p.First {
				s += fmt.Sprintf("-%d", p.Last)
			}
		}
		all = append(all, s)
	}
	return "[" + strings.Join(all, "; ") + "]"
}

func TestPoliciesMeanWhatTheReferenceSays(t *testing.T) {
	pods := []Pod{
		pod("shop", "db", "10.0.0.1", "app=db", "sql:5432"),
		pod("shop", "web", "10.0.0.2", "app=web", "http:8080"),
		pod("shop", "other", "10.0.0.3", "app=other", "http:9090"),
		pod("ops", "tool", "10.0.0.9", "app=tool"),
		{Namespace: "kube-system", Name: "dns", Labels: map[string]string{"k8s-app": "kube-dns"}, Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")}},
	}
	namespaces := map[string]map[string]string{
		"shop": {"kubernetes.io/metadata.name": "shop"}, "ops": {"kubernetes.io/metadata.name": "ops", "team": "ops"},
		"kube-system": {"kubernetes.io/metadata.name": "kube-system"},
	}
	for _, c := range []struct {
		name, spec string
		pod        string
		in, out    string
	}{
		{"nothing selects it", `podSelector: {matchLabels: {app: db}}`, "web", "open", "open"},
		{"deny all ingress", `{podSelector: {}, policyTypes: [Ingress]}`, "db", "[]", "open"},
		{"deny all both ways", `{podSelector: {}, policyTypes: [Ingress, Egress]}`, "db", "[]", "[]"},
		{"types follow from rules", `{podSelector: {}, egress: [{}]}`, "db", "[]", "[any]"},
		{"allow all ingress", `{podSelector: {}, ingress: [{}]}`, "db", "[any]", "open"},
		{"pods of this namespace", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}`, "db", "[10.0.0.2 tcp:5432]", "open"},
		{"every pod of this namespace", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}`, "db", "[10.0.0.1-10.0.0.3]", "open"},
		{"pods of other namespaces", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}]}]}`, "db", "[10.0.0.9]", "open"},
		{"pods and namespaces together", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: tool}}}]}]}`, "db", "[10.0.0.9]", "open"},
		{"pods or namespaces", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: web}}}]}]}`, "db", "[10.0.0.2,10.0.0.9]", "open"},
		{"nobody matches", `{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: none}}}]}]}`, "db", "[]", "open"},
		{"a block with exceptions", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.64/26]}}]}]}`, "db", "[10.0.0.0-10.0.0.63,10.0.0.128-10.0.0.255]", "open"},
		{"the whole Internet", `{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`, "db", "[]", "[0.0.0.0-255.255.255.255]"},
		{"port ranges and protocols", `{podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 9000}, {protocol: UDP}, {protocol: SCTP, port: 7}]}]}`, "db", "[any tcp:8000-9000 udp:0-65535 sctp:7]", "open"},
		{"a named port of the pod itself", `{podSelector: {}, ingress: [{ports: [{port: http}]}]}`, "web", "[any tcp:8080]", "open"},
		{"a named port that the pod lacks", `{podSelector: {}, ingress: [{ports: [{port: http}]}]}`, "db", "[]", "open"},
		{"a named port of each peer", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: http}]}]}`, "db", "open", "[10.0.0.2 tcp:8080; 10.0.0.3 tcp:9090]"},
		{"the cluster's DNS", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{protocol: UDP, port: 53}]}]}`, "db", "open", "[10.1.0.1-10.1.0.2 udp:53]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
			if err := yaml.UnmarshalStrict([]byte(c.spec), &p.Spec); err != nil {
				t.Fatal(err)
			}
			out, problems := Compile([]*networkingv1.NetworkPolicy{p}, pods, namespaces)
			got := out[types.UID(c.pod)]
			if text(got.Ingress) != c.in || text(got.Egress) != c.out || len(problems) > 0 {
				t.Errorf("in %s, out %s, want %s, %s (%v)", text(got.Ingress), text(got.Egress), c.in, c.out, problems)
			}
		})
	}
}

func TestPoliciesAddUp(t *testing.T) {
	policies := []*networkingv1.NetworkPolicy{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "b"}, Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{}}}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}, Spec: networkingv1.NetworkPolicySpec{}},
	}
	out, _ := Compile(policies, []Pod{pod("shop", "db", "10.0.0.1", "")}, nil)
	if got := text(out["db"].Ingress); got != "[any]" {
		t.Errorf("ingress = %s: a policy that denies takes nothing from one that allows", got)
	}
}

// Merged ranges contain what went in, ascend, and don't touch; what is cut out is out.
func TestRangesKeepWhatTheyContain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := func(label string) netip.Addr {
			b := rapid.SampledFrom([]byte{0, 1, 2, 3, 4, 5, 254, 255}).Draw(t, label)
			return netip.AddrFrom4([4]byte{255, 255, 255, b})
		}
		var in []relayproto.AddrRange
		for i := range rapid.IntRange(0, 5).Draw(t, "n") {
			a, b := addr(fmt.Sprint("a", i)), addr(fmt.Sprint("b", i))
			if b.Less(a) {
				a, b = b, a
			}
			in = append(in, relayproto.AddrRange{First: a, Last: b})
		}
		contains := func(list []relayproto.AddrRange, a netip.Addr) bool {
			for _, r := range list {
				if !a.Less(r.First) && !r.Last.Less(a) {
					return true
				}
			}
			return false
		}
		out := merge(in)
		for i := 1; i < len(out); i++ {
			if !out[i-1].Last.Next().Less(out[i].First) {
				t.Fatalf("%v touch", out)
			}
		}
		cut := rangeOf(netip.PrefixFrom(addr("cut"), 31))
		rest := without(out, cut)
		for b := range 256 {
			a := netip.AddrFrom4([4]byte{255, 255, 255, byte(b)})
			if contains(in, a) != contains(out, a) {
				t.Fatalf("%v: in %v, merged %v", a, in, out)
			}
			if want := contains(out, a) && !contains([]relayproto.AddrRange{cut}, a); contains(rest, a) != want {
				t.Fatalf("%v: %v without %v is %v", a, out, cut, rest)
			}
		}
	})
}
