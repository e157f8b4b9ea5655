package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/webhook"
	kubeletclient "k8s.io/kubernetes/pkg/kubelet/client"
)

// reach is how the server gets to things in the cluster. Both ways may be set after the server has
// started, because what they need (the network, the node) is itself a client of the server.
type reach struct {
	dial    atomic.Pointer[DialFunc]
	kubelet atomic.Pointer[http.Handler]
	node    *memoryListener
}

var errNoNetwork = errors.New("the cluster's network is not up yet")

// DialContext reaches pods and Services, among the latter those that webhooks and APIServices name.
func (r *reach) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := r.dial.Load()
	if d == nil {
		return nil, errNoNetwork
	}
	return (*d)(ctx, network, address)
}

// transport proxies requests to pods, Services, webhooks and extension API servers.
func (r *reach) transport() *http.Transport {
	return &http.Transport{
		DialContext: r.DialContext,
		// As in kube-apiserver: what is proxied to is a pod that the user chose, with whatever certificate it has.
		// Webhooks and extension servers bring their own TLS settings.
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 25,
	}
}

// resolver names a Service in the URL instead of choosing one of its endpoints: the dialer knows Services.
func (r *reach) resolver() webhook.ServiceResolver { return webhook.NewDefaultServiceResolver() }

// GetConnectionInfo leads to the kubelet's HTTP API, which is served in this process for every node. The
// node's name is the request's host.
func (r *reach) GetConnectionInfo(_ context.Context, node types.NodeName) (*kubeletclient.ConnectionInfo, error) {
	t := r.node.transport
	return &kubeletclient.ConnectionInfo{Scheme: "http", Hostname: string(node), Port: kubeletPort, Transport: t, InsecureSkipTLSVerifyTransport: t}, nil
}

// nodeProxy is GetConnectionInfo for requests to nodes/proxy, which refuses hosts that don't resolve: it is told an
// address that nobody has, and the request gets the node's name as its host on the way.
type nodeProxy struct {
	*reach
	nodes rest.Getter
}

// nobody is reserved for documentation (RFC 5737).
const nobody = "192.0.2.1"

func (p nodeProxy) GetConnectionInfo(ctx context.Context, node types.NodeName) (*kubeletclient.ConnectionInfo, error) {
	if _, err := p.nodes.Get(ctx, string(node), &metav1.GetOptions{}); err != nil {
		return nil, err
	}
	info, err := p.reach.GetConnectionInfo(ctx, node)
	if err != nil {
		return nil, err
	}
	t := hostTransport{host: net.JoinHostPort(info.Hostname, info.Port), base: p.node.transport}
	info.Hostname, info.Transport, info.InsecureSkipTLSVerifyTransport = nobody, t, t
	return info, nil
}

// hostTransport asks for host whatever the request's URL says.
type hostTransport struct {
	host string
	base *http.Transport
}

func (t hostTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = t.host
	return t.base.RoundTrip(r)
}

// WrappedRoundTripper lets the proxy find the dialer for requests that upgrade.
func (t hostTransport) WrappedRoundTripper() http.RoundTripper { return t.base }

func (r *reach) serveKubelet(w http.ResponseWriter, req *http.Request) {
	h := r.kubelet.Load()
	if h == nil {
		http.Error(w, "the node agent is not running yet", http.StatusServiceUnavailable)
		return
	}
	(*h).ServeHTTP(w, req)
}
