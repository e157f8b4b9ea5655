package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
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

func (r *reach) serveKubelet(w http.ResponseWriter, req *http.Request) {
	h := r.kubelet.Load()
	if h == nil {
		http.Error(w, "the node agent is not running yet", http.StatusServiceUnavailable)
		return
	}
	(*h).ServeHTTP(w, req)
}
