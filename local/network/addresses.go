package network

import "net/netip"

// RelayAPIPort is where the relay takes pods' connections to the Kubernetes API.
const RelayAPIPort = 6443

// RelayKubeletPort is where the relay, whose address is the nodes', takes connections that are meant for a node's kubelet. They
// go where those to the API go.
const RelayKubeletPort = 10250

// The address plan of a cluster's subnet: pods in the lower half, Services in the upper one. The two last addresses of
// the lower half are not given to pods before 32,000 others are taken.

// PodRange is the half of the subnet from which the engine gives addresses to pods.
func PodRange(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(subnet.Masked().Addr(), subnet.Bits()+1)
}

// ServiceRange is the half of the subnet that Services get their addresses from.
func ServiceRange(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(nth(PodRange(subnet), 1<<(31-subnet.Bits())), subnet.Bits()+1)
}

// GatewayAddr is the engine host's own address on the pod network.
func GatewayAddr(subnet netip.Prefix) netip.Addr { return nth(subnet, 1) }

// RelayAddr is the relay's own address on the pod network.
func RelayAddr(subnet netip.Prefix) netip.Addr { return nth(ServiceRange(subnet), -2) }

// HostAddr stands for the developer's machine on the pod network: host.skiff.local.
func HostAddr(subnet netip.Prefix) netip.Addr { return nth(ServiceRange(subnet), -3) }

// DNSAddr is the address of the cluster's DNS Service: the tenth, as in most clusters.
func DNSAddr(subnet netip.Prefix) netip.Addr { return nth(ServiceRange(subnet), 10) }

// nth is the address n places after the prefix's first one.
func nth(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr().As4()
	v := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	v += uint32(n)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
