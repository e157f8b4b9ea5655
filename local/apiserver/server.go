package apiserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/api/meta"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	aggregator "k8s.io/kube-aggregator/pkg/apiserver"
	"k8s.io/kubernetes/pkg/capabilities"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// Server is the API of one cluster. Make it with New, serve with Start.
type Server struct {
	cfg       Config
	log       *slog.Logger
	reach     *reach
	loop      *loopback
	client    kubernetes.Interface
	rest      *rest.Config
	shared    informers.SharedInformerFactory
	alloc     *allocators
	converter typeConverter
	tokens    serviceaccount.TokenGenerator
	keys      serviceaccount.PublicKeysGetter
	gate      *admissionGate
	admission admissionChain

	extensions *apiextensions.CustomResourceDefinitions
	kube       *genericapiserver.GenericAPIServer
	front      *aggregator.APIAggregator
	remote     *remoteDocuments

	stop    context.CancelFunc
	stopped chan struct{}
	runErr  error // valid once stopped is closed
	later   sync.WaitGroup
}

// New puts the server together. Nothing is read from or written to the store before Start.
func New(ctx context.Context, cfg Config) (*Server, error) {
	s, err := newDocumented(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, server := range s.chain() {
		forgetDocumentation(server.Handler.GoRestfulContainer)
	}
	return s, nil
}

// chain are the three servers, the first that is asked first.
func (s *Server) chain() []*genericapiserver.GenericAPIServer {
	return []*genericapiserver.GenericAPIServer{s.front.GenericAPIServer, s.kube, s.extensions.GenericAPIServer}
}

// newDocumented is New without what only an idle server can do without.
func newDocumented(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, reach: &reach{node: newMemoryListener()}, loop: newLoopback(), converter: newTypeConverter(), gate: newAdmissionGate(), stopped: make(chan struct{})}
	if cfg.Kubelet != nil {
		s.SetKubelet(cfg.Kubelet)
	}
	if cfg.Dial != nil {
		s.SetDial(cfg.Dial)
	}
	// One switch per process in Kubernetes; like every distribution's, its API takes privileged containers.
	capabilities.Setup(true, 0)
	s.rest = s.loop.config(rand.Text())
	if s.client, err = kubernetes.NewForConfig(s.rest); err != nil {
		return nil, fmt.Errorf("make in-process client: %w", err)
	}
	s.shared = informers.NewSharedInformerFactoryWithOptions(s.client, 0, informers.WithTransform(dropManagedFields))
	if s.alloc, err = newAllocators(cfg.ServiceSubnet, cfg.NodePorts); err != nil {
		return nil, err
	}
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// LoopbackConfig is a client configuration for the same process, with every right. Connections that
// upgrade (exec, port-forward) don't work through it.
func (s *Server) LoopbackConfig() *rest.Config { return rest.CopyConfig(s.rest) }

// Client is a client on LoopbackConfig.
func (s *Server) Client() kubernetes.Interface { return s.client }

// Informers is the factory that the server's own parts use; its objects carry no managed fields. Start has
// to be called again after informers were added.
func (s *Server) Informers() informers.SharedInformerFactory { return s.shared }

// CRDs informs about CustomResourceDefinitions. It runs with the server.
func (s *Server) CRDs() cache.SharedIndexInformer {
	return s.extensions.Informers.Apiextensions().V1().CustomResourceDefinitions().Informer()
}

// SetKubelet tells what serves the kubelet's HTTP API (/containerLogs, /exec, /attach, /portForward, /stats, …)
// for every node. The request's host is the name of the node that is asked.
func (s *Server) SetKubelet(h http.Handler) { s.reach.kubelet.Store(&h) }

// SetDial tells how pods and Services are reached.
func (s *Server) SetDial(d DialFunc) { s.reach.dial.Store(&d) }

// SetReachable publishes where the cluster reaches this server, behind the Services "kubernetes" and "kube-dns".
func (s *Server) SetReachable(ctx context.Context, addr netip.AddrPort) error {
	if !addr.IsValid() {
		return errors.New("publish endpoints: the address is not valid")
	}
	return bootstrap{client: s.client, cfg: s.cfg}.endpoints(ctx, addr)
}

// dropManagedFields keeps the part of an object that no controller reads out of the informers.
func dropManagedFields(obj any) (any, error) {
	if a, err := meta.Accessor(obj); err == nil && a.GetManagedFields() != nil {
		a.SetManagedFields(nil)
	}
	return obj, nil
}
