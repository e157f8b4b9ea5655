package apiserver

import (
	"context"
	"fmt"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

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
	generic.AddHealthChecks(healthz.NamedCheck("etcd", backend.check))
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
