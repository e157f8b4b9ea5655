package network

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/relayproto"
)

func TestAHostPortIsOpenWhereItAsksFor(t *testing.T) {
	subnet := netip.MustParsePrefix("10.244.0.0/16")
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
		v := hostPorts(pod, subnet)
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

func TestAPodOnTheHostsNetworkIsReachedThere(t *testing.T) {
	subnet := netip.MustParsePrefix("10.244.0.0/16")
	node := RelayAddr(subnet).String()
	pod := &corev1.Pod{Spec: corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
		{HostPort: 9100, ContainerPort: 9100, Protocol: corev1.ProtocolTCP},
	}}}}, Status: corev1.PodStatus{PodIP: node}}
	v := hostPorts(pod, subnet)
	l := &localhost{network: &Network{cfg: Config{Bind: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}}
	if got := fmt.Sprint(v.forRelay(1).Ports[0].Backends, l.hostBind(v, v.relay.Ports[0])); got != "[10.244.0.1:9100] []" {
		t.Errorf("its host port leads to %s", got)
	}
	port, name, proto := int32(9100), "", corev1.ProtocolTCP
	slice := &discoveryv1.EndpointSlice{
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &proto}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{node}}},
	}
	svc := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.244.128.9", Ports: []corev1.ServicePort{{Port: 80}}}}
	alive := func(types.UID) fate { return stays }
	if got := fmt.Sprint(project(svc, subnet, []*discoveryv1.EndpointSlice{slice}, alive).relay.Ports[0].Backends); got != "[10.244.0.1:9100]" {
		t.Errorf("a Service leads to it at %s", got)
	}
	port = RelayAPIPort
	if got := fmt.Sprint(project(svc, subnet, []*discoveryv1.EndpointSlice{slice}, alive).relay.Ports[0].Backends); got != "["+node+":6443]" {
		t.Errorf("a Service leads to the API at %s", got)
	}
}
