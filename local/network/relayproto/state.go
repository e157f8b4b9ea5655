package relayproto

import "net/netip"

// A Key names a Service.
type Key struct {
	Namespace string `json:"ns"`
	Name      string `json:"name"`
}

// A Service is one Service as the relay serves it: addresses to forward from, endpoints to forward to, and names to
// answer. Choosing endpoints (ready ones, or terminating ones when nothing else is left) is the daemon's work.
type Service struct {
	Key
	// ClusterIPs are the addresses that the relay answers for; none for headless and ExternalName Services.
	ClusterIPs []netip.Addr `json:"ips,omitempty"`
	// ExternalIPs are addresses outside of the cluster that pods reach the Service on as well.
	ExternalIPs []netip.Addr `json:"external-ips,omitempty"`
	// Headless Services resolve to their endpoints.
	Headless bool `json:"headless,omitempty"`
	// ExternalName is the target of a CNAME, without a trailing dot.
	ExternalName string `json:"external,omitempty"`
	// AffinitySeconds keeps a client on its endpoint for so long after its last new connection; 0 means no affinity.
	AffinitySeconds int    `json:"affinity,omitempty"`
	Ports           []Port `json:"ports,omitempty"`
	// Endpoints are the names and addresses of a headless Service's ready endpoints.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// NoDNS marks an entry that only forwards: pods' host ports.
	NoDNS bool `json:"nodns,omitempty"`
}

// HostPort is the port at the address of the developer's machine where the relay takes connections to any port of that.
const HostPort = 6444

// A Port is one port of a Service and where its connections go. No backends means that connections are refused.
type Port struct {
	Name     string           `json:"name,omitempty"`
	Protocol Protocol         `json:"proto"`
	Port     uint16           `json:"port"` // 0 for one that only the node has
	NodePort uint16           `json:"node,omitempty"`
	Backends []netip.AddrPort `json:"to,omitempty"`
	// Local are the endpoints for pods by the node that they are on, where these get none of another node; nil where it does
	// not matter.
	Local map[string][]netip.AddrPort `json:"local,omitempty"`
}

// An Endpoint is one address behind a headless Service.
type Endpoint struct {
	Addr netip.Addr `json:"ip"`
	// Hostname is the endpoint's own label under the Service's name; empty means the address with dashes.
	Hostname string         `json:"host,omitempty"`
	Ports    []EndpointPort `json:"ports,omitempty"`
}

// An EndpointPort is a named port of one endpoint, for SRV answers.
type EndpointPort struct {
	Name     string   `json:"name,omitempty"`
	Protocol Protocol `json:"proto"`
	Port     uint16   `json:"port"`
}

// A Protocol is a transport protocol by its IP number.
type Protocol uint8

// The protocols a Service may have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the name in the lower case that SRV names use.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return "unknown"
}

// An Update changes what the relay serves. Updates on one control stream are applied in order.
type Update struct {
	// Generation comes back in the Ack.
	Generation uint64 `json:"gen"`
	// Full means that Services and Namespaces are everything: what they do not name is removed.
	Full     bool      `json:"full,omitempty"`
	Services []Service `json:"services,omitempty"`
	Removed  []Key     `json:"removed,omitempty"`
	// Namespaces replaces the known namespaces; nil leaves them alone.
	Namespaces []string `json:"namespaces,omitempty"`
	// Stubs maps DNS suffixes (without trailing dot) to the servers that answer for them; nil leaves them alone.
	// "." stands for every name that is not the cluster's.
	Stubs map[string][]netip.AddrPort `json:"stubs,omitempty"`
	// Hosts maps names to fixed addresses; nil leaves them alone.
	Hosts map[string][]netip.Addr `json:"hosts,omitempty"`
	// Nodes are the addresses of the pods on each node; nil leaves them alone.
	Nodes map[string][]netip.Addr `json:"nodes,omitempty"`
	// Policies replaces what is known of isolated pods; nil leaves it alone.
	Policies *[]PodPolicy `json:"policies,omitempty"`
}

// An Ack says that an Update is in force: new connections and queries see it.
type Ack struct {
	Generation uint64 `json:"gen"`
	// Error says what could not be applied; everything else of the Update is.
	Error string `json:"error,omitempty"`
}

// A Hello is the relay's first frame on a control stream.
type Hello struct {
	// Instance is random per relay process.
	Instance string `json:"instance"`
	// Services is how many Services the relay serves already, from an earlier session.
	Services int `json:"services"`
	// Problem says why Services are served more slowly or not at all; empty when all is well.
	Problem string `json:"problem,omitempty"`
}
