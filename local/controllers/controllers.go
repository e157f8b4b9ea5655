package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"

	"skiff.local/skiff/local/controllers/provisioner"
)

// Config is what the controllers need from the rest of the cluster. Fields without a default are required.
type Config struct {
	// RESTConfig reaches the API as a member of system:masters, without a client-side rate limit (QPS -1).
	RESTConfig *rest.Config
	// Informers are shared with the API server and the node. Start starts them.
	Informers informers.SharedInformerFactory

	// RootCA is the certificate that verifies the API server, in PEM: pods get it in kube-root-ca.crt.
	RootCA []byte
	// CACertFile and CAKeyFile sign CertificateSigningRequests; without them nothing is signed.
	CACertFile, CAKeyFile string
	// ServiceAccountKey signs the tokens that are asked for with a Secret, an *ecdsa.PrivateKey or *rsa.PrivateKey;
	// without one such Secrets stay empty.
	ServiceAccountKey any

	// Volumes makes the volumes of StorageClass "standard"; without it there is no such class.
	Volumes provisioner.Volumes
	// Profile is part of the volumes' names.
	Profile string

	// Logger defaults to slog.Default.
	Logger *slog.Logger
}

func (c Config) validate() error {
	var errs []error
	if c.RESTConfig == nil {
		errs = append(errs, errors.New("a REST config is required"))
	}
	if c.Informers == nil {
		errs = append(errs, errors.New("informers are required"))
	}
	if len(c.RootCA) == 0 {
		errs = append(errs, errors.New("the root CA is required"))
	}
	if (c.CACertFile == "") != (c.CAKeyFile == "") {
		errs = append(errs, errors.New("the signing certificate and its key go together"))
	}
	if c.Volumes != nil && c.Profile == "" {
		errs = append(errs, errors.New("volumes need a profile to be named after"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("configure controllers: %w", err)
	}
	return nil
}

// Running is a started set of controllers.
type Running struct {
	synced  chan struct{}
	stopped sync.WaitGroup
}

// environment is what the constructors of table.go take from.
type environment struct {
	Config

	client     kubernetes.Interface
	clientRC   *rest.Config // of client
	metadata   metadata.Interface
	discovery  *discoveryCache
	mapper     meta.ResettableRESTMapper
	metaInf    metadatainformer.SharedInformerFactory
	anyInf     informerfactory.InformerFactory
	infStarted chan struct{}
}

// The user agents, whose first part is the field manager that appears in managedFields: tools and people know
// Kubernetes' components by these names.
const (
	managerAgent   = "kube-controller-manager/skiff"
	schedulerAgent = "kube-scheduler/skiff"
)

// Start makes all controllers and the scheduler, starts the informers, and runs the controllers until ctx ends. It
// returns before their caches are filled; Synced tells when they are. An error means that none runs.
func Start(ctx context.Context, cfg Config) (*Running, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, logr.FromSlogHandler(cfg.Logger.Handler())))

	env, err := newEnvironment(ctx, cfg)
	if err != nil {
		cancel()
		return nil, err
	}
	loops, err := construct(ctx, env)
	if err != nil {
		cancel()
		return nil, err
	}

	cfg.Informers.Start(ctx.Done())
	env.metaInf.Start(ctx.Done())
	close(env.infStarted)

	r := &Running{synced: make(chan struct{})}
	begin := time.Now()
	r.stopped.Go(func() {
		defer cancel()
		if waitForCaches(ctx, cfg.Informers) {
			close(r.synced)
			cfg.Logger.Debug("controllers synced", "took", time.Since(begin))
		}
		for _, l := range loops {
			r.stopped.Go(func() { l.run(ctx) })
		}
		<-ctx.Done()
	})
	return r, nil
}

// patience is how long the controllers wait for all caches together; then each waits for its own.
const patience = 2 * time.Second

// waitForCaches waits until all informers have seen the cluster. Each controller does so as well, but by looking every
// 100 ms, which nobody should wait for: after this its first look succeeds.
func waitForCaches(ctx context.Context, informers informers.SharedInformerFactory) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return informers.WaitForCacheSyncWithContext(ctx).Err == nil
}

// Synced is closed when every informer has seen the whole cluster.
func (r *Running) Synced() <-chan struct{} { return r.synced }

// Wait returns when all controllers have ended, after the context given to Start has.
func (r *Running) Wait() { r.stopped.Wait() }

func newEnvironment(ctx context.Context, cfg Config) (*environment, error) {
	rc := rest.CopyConfig(cfg.RESTConfig)
	rc.UserAgent = managerAgent
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, fmt.Errorf("make the controllers' client: %w", err)
	}
	md, err := metadata.NewForConfig(metadata.ConfigFor(rc))
	if err != nil {
		return nil, fmt.Errorf("make the controllers' metadata client: %w", err)
	}
	env := &environment{
		Config:     cfg,
		client:     client,
		clientRC:   rc,
		metadata:   md,
		metaInf:    metadatainformer.NewSharedInformerFactoryWithOptions(md, 0, metadatainformer.WithTransform(withoutManagedFields)),
		infStarted: make(chan struct{}),
	}
	env.anyInf = informerfactory.NewInformerFactory(cfg.Informers, env.metaInf)
	env.discovery, err = newDiscoveryCache(client.Discovery(), env.metaInf)
	if err != nil {
		return nil, err
	}
	env.mapper = env.discovery.mapper
	return env, nil
}

// withoutManagedFields keeps what no controller reads out of the caches: it is often the larger part of an object.
func withoutManagedFields(obj any) (any, error) {
	if a, err := meta.Accessor(obj); err == nil && a.GetManagedFields() != nil {
		a.SetManagedFields(nil)
	}
	return obj, nil
}
