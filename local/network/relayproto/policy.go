package relayproto

import "net/netip"

// A PodPolicy is what NetworkPolicies mean for one pod.
type PodPolicy struct {
	Addr netip.Addr `json:"ip"`
	// Ingress and Egress are nil for a direction in which the pod is not isolated.
	Ingress *Isolation `json:"in,omitempty"`
	Egress  *Isolation `json:"out,omitempty"`
}

// An Isolation lets through what one of its Allows does, and nothing else.
type Isolation struct {
	Allow []Allow `json:"allow,omitempty"`
}

// An Allow lets connections with some peers through, on some ports of the one who is connected to.
type Allow struct {
	// Peers are ascending and don't overlap. AnyPeer stands for all addresses.
	Peers   []AddrRange `json:"peers,omitempty"`
	AnyPeer bool        `json:"anyPeer,omitempty"`
	// Ports are any port of any protocol when empty.
	Ports []PortRange `json:"ports,omitempty"`
}

// An AddrRange is the addresses from First to Last, both included.
type AddrRange struct {
	First netip.Addr `json:"first"`
	Last  netip.Addr `json:"last"`
}

// A PortRange is the ports from First to Last, both included, of a protocol.
type PortRange struct {
	Protocol Protocol `json:"proto"`
	First    uint16   `json:"first"`
	Last     uint16   `json:"last"`
}

// A PodGuard is what is enforced in a pod's own network namespace, and what of the world outside it reaches by the relay.
type PodGuard struct {
	Policy PodPolicy `json:"policy"`
	// Node are addresses that always reach the pod: the node's own. What they carry for pods is judged by the relay.
	Node []netip.Addr `json:"node"`
	// Relayed are addresses that the pod always reaches: the relay judges these connections by where they lead.
	Relayed []netip.Prefix `json:"relayed"`
	// Routed are addresses to which the pod's packets go by way of Via, the relay: Services answer there.
	Routed []netip.Addr `json:"routed,omitempty"`
	Via    netip.Addr   `json:"via"`
}
