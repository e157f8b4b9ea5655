package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// workers is how many claims and volumes are worked on at a time: making a volume is one short call to the engine.
const workers = 2

// Volumes are the engine's volumes. Both methods are idempotent: creating what exists and removing what doesn't is no
// error. Removing a volume that a container still uses is one, and is tried again.
type Volumes interface {
	CreateVolume(ctx context.Context, name string, labels map[string]string) error
	RemoveVolume(ctx context.Context, name string) error
}

// Config is what a provisioner needs; only Logger has a default.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Volumes   Volumes
	Profile   string
	Logger    *slog.Logger
}

// Provisioner makes and removes the volumes of claims.
type Provisioner struct {
	cfg Config

	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	synced  []cache.DoneChecker
	queue   workqueue.TypedRateLimitingInterface[key]

	broadcaster record.EventBroadcaster
	events      record.EventRecorder
}

// key is a claim, or a volume when namespace is empty.
type key struct{ namespace, name string }

func (k key) String() string {
	if k.namespace == "" {
		return "volume " + k.name
	}
	return "claim " + k.namespace + "/" + k.name
}

// New subscribes to claims, volumes and classes; Run does the work.
func New(cfg Config) (*Provisioner, error) {
	if cfg.Client == nil || cfg.Informers == nil || cfg.Volumes == nil || cfg.Profile == "" {
		return nil, errors.New("configure volume provisioner: client, informers, volumes and profile are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	core, storage := cfg.Informers.Core().V1(), cfg.Informers.Storage().V1()
	p := &Provisioner{
		cfg:         cfg,
		claims:      core.PersistentVolumeClaims().Lister(),
		volumes:     core.PersistentVolumes().Lister(),
		classes:     storage.StorageClasses().Lister(),
		queue:       workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[key](100*time.Millisecond, time.Minute)),
		broadcaster: record.NewBroadcaster(),
	}
	p.events = p.broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: DriverName})

	for _, w := range []struct {
		informer cache.SharedIndexInformer
		add      func(any)
	}{
		{core.PersistentVolumeClaims().Informer(), p.enqueue},
		{core.PersistentVolumes().Informer(), p.enqueue},
		{storage.StorageClasses().Informer(), p.enqueueClaimsOf},
	} {
		reg, err := w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: w.add, UpdateFunc: func(_, obj any) { w.add(obj) }})
		if err != nil {
			return nil, fmt.Errorf("watch volumes and claims: %w", err)
		}
		p.synced = append(p.synced, reg.HasSyncedChecker())
	}
	return p, nil
}

func (p *Provisioner) enqueue(obj any) {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		p.queue.Add(key{o.Namespace, o.Name})
	case *corev1.PersistentVolume:
		p.queue.Add(key{name: o.Name})
	}
}

// enqueueClaimsOf looks again at the claims of a class that has changed.
func (p *Provisioner) enqueueClaimsOf(obj any) {
	class, ok := obj.(*storagev1.StorageClass)
	if !ok || class.Provisioner != DriverName {
		return
	}
	for _, claim := range list(p.claims) {
		if className(claim) == class.Name && claim.Spec.VolumeName == "" {
			p.enqueue(claim)
		}
	}
}

// Run makes the StorageClass, then works until ctx ends.
func (p *Provisioner) Run(ctx context.Context) {
	p.broadcaster.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: p.cfg.Client.CoreV1().Events("")})
	defer p.broadcaster.Shutdown()

	if err := ensureObjects(ctx, p.cfg.Client); err != nil && ctx.Err() == nil {
		p.cfg.Logger.Error("no default storage class", "err", err)
	}
	if !cache.WaitFor(ctx, "", p.synced...) {
		return
	}
	done := make(chan struct{}, workers)
	for range workers {
		go func() {
			for p.next(ctx) {
			}
			done <- struct{}{}
		}()
	}
	<-ctx.Done()
	p.queue.ShutDown()
	for range workers {
		<-done
	}
}

func (p *Provisioner) next(ctx context.Context) bool {
	k, shutdown := p.queue.Get()
	if shutdown {
		return false
	}
	defer p.queue.Done(k)
	var err error
	if k.namespace != "" {
		err = p.reconcileClaim(ctx, k.namespace, k.name)
	} else {
		err = p.reconcileVolume(ctx, k.name)
	}
	switch {
	case err == nil:
		p.queue.Forget(k)
	case errors.As(err, new(finalError)):
		p.queue.Forget(k)
	default:
		if !apierrors.IsConflict(err) && ctx.Err() == nil {
			p.cfg.Logger.Warn("volume not settled", "object", k.String(), "err", err)
		}
		p.queue.AddRateLimited(k)
	}
	return true
}

// finalError is not tried again before its object changes.
type finalError struct{ error }

func (p *Provisioner) reconcileClaim(ctx context.Context, namespace, name string) error {
	claim, err := p.claims.PersistentVolumeClaims(namespace).Get(name)
	if err != nil {
		return ignoreNotFound(err)
	}
	class, err := p.classes.Get(className(claim))
	if ignoreNotFound(err) != nil {
		return err
	}
	volume, err := p.volumes.Get(claim.Spec.VolumeName)
	if ignoreNotFound(err) != nil {
		return err
	}
	do, err := planClaim(claim, class, volume)
	switch {
	case err != nil:
		p.events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", err.Error())
		return finalError{fmt.Errorf("provision claim %s/%s: %w", namespace, name, err)}
	case do == provision:
		return p.provision(ctx, claim, class)
	case do == expand:
		return p.expand(ctx, claim, volume)
	}
	return nil
}

func (p *Provisioner) reconcileVolume(ctx context.Context, name string) error {
	volume, err := p.volumes.Get(name)
	if err != nil {
		return ignoreNotFound(err)
	}
	switch planVolume(volume) {
	case remove:
		return p.remove(ctx, volume)
	case release:
		return p.dropFinalizer(ctx, volume)
	}
	return nil
}

func className(claim *corev1.PersistentVolumeClaim) string {
	if claim.Spec.StorageClassName != nil {
		return *claim.Spec.StorageClassName
	}
	return strings.TrimSpace(claim.Annotations[corev1.BetaStorageClassAnnotation])
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
