package network

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network/relayproto"
)

func TestAHostPortIsOpenWhereItAsksFor(t *testing.T) {
	node := netip.MustParseAddr("10.244.127.254")
	l := &localhost{network: &Network{cfg: Config{Bind: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}}}}
	for hostIP, want := range map[string]string{
		"":               "node true, here [127.0.0.1 ::1]",
		"0.0.0.0":        "node true, here [127.0.0.1 ::1]",
		"127.0.0.1":      "node false, here [127.0.0.1]",
		"192.0.2.7":      "node false, here [192.0.2.7]",
		"10.244.127.254": "node true, here []",
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
			{HostPort: 53, ContainerPort: 8053, HostIP: hostIP, Protocol: corev1.ProtocolTCP},
			{HostPort: 53, ContainerPort: 8053, Protocol: corev1.ProtocolUDP},
		}}}}, Status: corev1.PodStatus{PodIP: "10.244.0.9"}}
		v := hostPorts(pod, node)
		tcp := v.relay.Ports[0]
		forRelay := v.forRelay(1).Ports
		got := fmt.Sprintf("node %v, here %v", slices.ContainsFunc(forRelay, func(p relayproto.Port) bool { return p.Protocol == tcp.Protocol }), l.hostBind(v, tcp))
		if got != want {
			t.Errorf("hostIP %q: %s, want %s", hostIP, got, want)
		}
		if udp := v.relay.Ports[1]; len(l.hostBind(v, udp)) != 2 || forRelay[len(forRelay)-1].Protocol != udp.Protocol {
			t.Errorf("hostIP %q moves the port of another protocol", hostIP)
		}
	}
}
