package network

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/relayproto"
)

// A hostPort is a port of the node.
type hostPort struct {
	port     uint16
	protocol relayproto.Protocol
}

// onHost has the endpoints at the node's address, which are pods on the host's network, where they are: on the engine's host,
// which the pod network has as its gateway. What the relay itself serves there stays its own.
func onHost(subnet netip.Prefix, backends []netip.AddrPort) []netip.AddrPort {
	for i, b := range backends {
		if b.Addr() == RelayAddr(subnet) && b.Port() != RelayAPIPort {
			backends[i] = netip.AddrPortFrom(GatewayAddr(subnet), b.Port())
		}
	}
	return backends
}

// hostPorts is the pseudo-Service that forwards a pod's host ports from the node's address. A port that asks for an address of
// its own is open there alone: for the node's, which is the relay's, in the cluster only; for any other, on this machine only.
// A pod on the host's network has its ports open there already, and the node's address leads to them.
func hostPorts(pod *corev1.Pod, subnet netip.Prefix) *view {
	node := RelayAddr(subnet)
	v := &view{
		relay: relayproto.Service{Key: podKey(pod.Namespace, pod.Name), NoDNS: true, ClusterIPs: []netip.Addr{node}},
		pods:  map[types.UID]struct{}{pod.UID: {}}, bind: map[hostPort][]netip.Addr{},
	}
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || pod.DeletionTimestamp != nil || isOver(pod) {
		return v
	}
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort == 0 || p.ContainerPort == 0 {
				continue
			}
			port := relayproto.Port{
				Protocol: protocol(p.Protocol), Port: uint16(p.HostPort),
				Backends: onHost(subnet, []netip.AddrPort{netip.AddrPortFrom(ip, uint16(p.ContainerPort))}),
			}
			at := hostPort{port.Port, port.Protocol}
			switch bind, err := netip.ParseAddr(p.HostIP); {
			case pod.Spec.HostNetwork || bind == node:
				v.bind[at] = nil
			case err != nil || bind.IsUnspecified():
			default:
				v.bind[at] = append(v.bind[at], bind)
			}
			v.relay.Ports = append(v.relay.Ports, port)
		}
	}
	return v
}

// atNode reports whether a host port is open at the node's address.
func (v *view) atNode(p relayproto.Port) bool {
	return len(v.bind[hostPort{p.Port, p.Protocol}]) == 0
}

func hasHostPorts(pod *corev1.Pod) bool {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				return true
			}
		}
	}
	return false
}
