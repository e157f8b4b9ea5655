package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"go.etcd.io/etcd/client/v3/kubernetes"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"

	"skiff.local/skiff/local/apiserver/pki"
)

// Store is the durable store below the API: an etcd client whose services are in this process.
type Store interface {
	Client(ctx context.Context) *kubernetes.Client
	CompactRevision() int64
}

// DialFunc reaches an address of the cluster: a pod's IP, a Service's IP, or the name of a Service
// (name.namespace.svc) with a port.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what a Server needs to know. Fields without a default are required.
type Config struct {
	Store Store
	// Listener takes plain TCP connections; TLS is the server's business. The server closes it when it stops.
	Listener net.Listener
	// More listeners serve the same, e.g. on the other loopback address.
	MoreListeners []net.Listener
	PKI           *pki.Bundle

	// ServiceSubnet is where ClusterIPs are taken from. Its first address is that of the Service "kubernetes".
	ServiceSubnet netip.Prefix
	// NodePorts defaults to 30000-32767.
	NodePorts utilnet.PortRange
	// ClusterDNS is the address of the Service kube-dns; without one the Service is not made.
	ClusterDNS netip.Addr
	// ClusterDomain defaults to cluster.local.
	ClusterDomain string
	// Reachable is where pods reach this server and, on port 53, the cluster's DNS: the endpoint behind
	// the Services "kubernetes" and "kube-dns". It may be told later through Server.SetReachable.
	Reachable netip.AddrPort

	// Kubelet serves a kubelet's HTTP API for every node; see Server.SetKubelet.
	Kubelet http.Handler
	// Dial reaches pods and Services; see Server.SetDial.
	Dial DialFunc
	// Extra handlers by path prefix ("/skiff/"). Only members of system:masters reach them; their requests
	// are never cut off by the request timeout.
	Extra map[string]http.Handler

	// Groups makes API groups that are served beside Kubernetes' own, from the server's informers.
	Groups func(informers.SharedInformerFactory) []*genericapiserver.APIGroupInfo

	// Logger defaults to slog.Default.
	Logger *slog.Logger
}

func (c Config) complete() (Config, error) {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(c.Store != nil, "a store is required")
	need(c.Listener != nil, "a listener is required")
	need(c.PKI != nil, "certificates are required")
	need(c.ServiceSubnet.IsValid() && c.ServiceSubnet == c.ServiceSubnet.Masked(), fmt.Sprintf("service subnet %q is not a network", c.ServiceSubnet))
	need(!c.ClusterDNS.IsValid() || c.ServiceSubnet.Contains(c.ClusterDNS), fmt.Sprintf("cluster DNS address %s is outside of the service subnet %s", c.ClusterDNS, c.ServiceSubnet))
	if c.NodePorts.Size == 0 {
		c.NodePorts = utilnet.PortRange{Base: 30000, Size: 2768}
	}
	if c.ClusterDomain == "" {
		c.ClusterDomain = "cluster.local"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := errors.Join(errs...); err != nil {
		return c, fmt.Errorf("configure API server: %w", err)
	}
	return c, nil
}

// issuer is the audience of the API server and the issuer of the tokens it signs.
func (c Config) issuer() string { return "https://kubernetes.default.svc." + c.ClusterDomain }

// serviceIP is the address of the Service "kubernetes": the first of the subnet after the network's own.
func (c Config) serviceIP() netip.Addr { return c.ServiceSubnet.Addr().Next() }
