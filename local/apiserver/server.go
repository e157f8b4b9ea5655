package apiserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/apiserver"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
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

// build chains the three servers, the last one first.
func (s *Server) build(ctx context.Context) error {
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.WithStreamingCollectionEncodingToJSON(), serializer.WithStreamingCollectionEncodingToProtobuf())
	generic, err := s.genericConfig(codecs)
	if err != nil {
		return err
	}
	factory, err := newStorageFactory(generic.EffectiveVersion, generic.MergedResourceConfig)
	if err != nil {
		return err
	}
	backend := backend{client: s.cfg.Store.Client(ctx), compactor: s.cfg.Store}
	generic.RESTOptionsGetter = builtinOptions{factory, backend}
	if err := s.secure(generic); err != nil {
		return err
	}
	admissionInformers(s.shared)
	s.admission = admissionChain{generic: generic, client: s.client, shared: s.shared, reach: s.reach, log: s.log}
	generic.AdmissionControl = s.gate
	if s.extensions, err = newExtensions(*generic, backend, s.reach); err != nil {
		return err
	}
	if s.kube, err = generic.Complete(nil).New("kube-apiserver", s.extensions.GenericAPIServer); err != nil {
		return fmt.Errorf("make server of built-in groups: %w", err)
	}
	core, err := coreGroup{generic: generic, factory: factory, client: s.client, shared: s.shared, tokens: s.tokens, alloc: s.alloc, reach: s.reach}.stores()
	if err != nil {
		return err
	}
	groups, err := builtinGroups(generic, s.client, s.shared)
	if err != nil {
		return err
	}
	if err := installIdentity(s.kube, s.cfg.issuer(), s.keys); err != nil {
		return err
	}
	install := installer{server: s.kube, config: generic, serializer: codecs, converter: s.converter}
	groups = append([]*genericapiserver.APIGroupInfo{core}, groups...)
	sharePrinters(groups)
	if err := install.installAll(groups); err != nil {
		return err
	}
	more, err := s.installMore(install)
	if err != nil {
		return err
	}
	front := frontServer{kube: s.kube, extensions: s.extensions, more: more, shared: s.shared, backend: backend, reach: s.reach, proxy: s.cfg.PKI.Proxy}
	if s.front, err = front.build(*generic); err != nil {
		return err
	}
	s.front.GenericAPIServer.ShutdownTimeout = shutdownGrace
	for prefix, h := range s.cfg.Extra {
		s.front.GenericAPIServer.Handler.NonGoRestfulMux.HandlePrefix(prefix, administratorsOnly(h))
	}
	return s.installOpenAPI()
}

// shutdownGrace is how long a stop waits for streams (watches, followed logs) to end by themselves; chosen.
const shutdownGrace = time.Second

// installMore installs the groups that are not Kubernetes' own, and returns their versions.
func (s *Server) installMore(install installer) (versions []schema.GroupVersion, err error) {
	if s.cfg.Groups == nil {
		return nil, nil
	}
	install.converter = managedfields.NewDeducedTypeConverter()
	for _, info := range s.cfg.Groups(s.shared) {
		install.serializer = info.NegotiatedSerializer
		if err := install.installAll([]*genericapiserver.APIGroupInfo{info}); err != nil {
			return nil, err
		}
		versions = append(versions, served(info)...)
	}
	return versions, nil
}

// genericConfig is what the three servers share, but for security and admission.
func (s *Server) genericConfig(codecs serializer.CodecFactory) (*genericapiserver.Config, error) {
	c := genericapiserver.NewConfig(codecs)
	c.EffectiveVersion = newEffectiveVersion()
	c.MergedResourceConfig = servedResources()
	c.LoopbackClientConfig = s.rest
	cert, err := dynamiccertificates.NewStaticCertKeyContent("serving", s.cfg.PKI.Serving.Cert, s.cfg.PKI.Serving.Key)
	if err != nil {
		return nil, fmt.Errorf("load serving certificate: %w", err)
	}
	c.SecureServing = &genericapiserver.SecureServingInfo{Listener: joinListeners(s.cfg.Listener, s.cfg.MoreListeners...), Cert: cert, HTTP2MaxStreamsPerConnection: 1000}
	c.PublicAddress = net.IPv4(127, 0, 0, 1)
	c.ExternalAddress = s.cfg.Listener.Addr().String()
	c.SkipOpenAPIInstallation = true
	// One user on one machine: fairness between tenants would only cost memory and start-up time.
	c.FlowControl = nil
	// It sets two gauges once a second.
	c.DisabledPostStartHooks.Insert("max-in-flight-filter")
	c.LongRunningFunc = longRunning(s.cfg.Extra)
	// Without this, a stop waits a minute for every open watch.
	c.ShutdownWatchTerminationGracePeriod = shutdownGrace
	// All three servers add to one discovery document.
	c.AggregatedDiscoveryGroupManager = aggregated.NewResourceManager("apis")
	return c, nil
}

// secure sets up who is who and who may do what.
func (s *Server) secure(generic *genericapiserver.Config) error {
	clientCA, err := dynamiccertificates.NewStaticCAContent("client-ca", s.cfg.PKI.CA.Cert)
	if err != nil {
		return fmt.Errorf("load certificate authority: %w", err)
	}
	if err := generic.Authentication.ApplyClientCert(clientCA, generic.SecureServing); err != nil {
		return fmt.Errorf("load certificate authority: %w", err)
	}
	if s.tokens, err = serviceaccount.JWTTokenGenerator(s.cfg.issuer(), s.cfg.PKI.ServiceAccountKey); err != nil {
		return fmt.Errorf("make signer of service-account tokens: %w", err)
	}
	if s.keys, err = serviceaccount.StaticPublicKeysGetter([]any{s.cfg.PKI.ServiceAccountKey.Public()}); err != nil {
		return fmt.Errorf("load service-account key: %w", err)
	}
	generic.Authentication.APIAudiences = authenticator.Audiences{s.cfg.issuer()}
	if generic.Authentication.Authenticator, err = newAuthenticator(s.cfg, s.keys, clientCA, s.client); err != nil {
		return err
	}
	generic.Authorization.Authorizer, generic.RuleResolver, err = newAuthorizer(s.shared)
	return err
}

// dropManagedFields keeps the part of an object that no controller reads out of the informers.
func dropManagedFields(obj any) (any, error) {
	if a, err := meta.Accessor(obj); err == nil && a.GetManagedFields() != nil {
		a.SetManagedFields(nil)
	}
	return obj, nil
}

// LoopbackConfig is a client configuration for the same process, with every right. Connections that
// upgrade (exec, port-forward) don't work through it.
func (s *Server) LoopbackConfig() *rest.Config { return rest.CopyConfig(s.rest) }

// Client is a client on LoopbackConfig.
func (s *Server) Client() kubernetes.Interface { return s.client }

// Informers is the factory that the server's own parts use; its objects carry no managed fields. Start has
// to be called again after informers were added.
func (s *Server) Informers() informers.SharedInformerFactory { return s.shared }

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
