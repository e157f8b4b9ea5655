package controllers

import (
	"context"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/volume/ephemeral"
	"k8s.io/kubernetes/pkg/controller/volume/persistentvolume"
	"k8s.io/kubernetes/pkg/controller/volume/pvcprotection"
	"k8s.io/kubernetes/pkg/controller/volume/pvprotection"
	"k8s.io/kubernetes/pkg/controller/volume/vacprotection"

	"skiff.local/skiff/local/controllers/provisioner"
)

// newVolumeBinder binds claims to volumes. It has no volume plugins: volumes are made and deleted by provisioners
// (package provisioner, or one that runs in the cluster), as with CSI.
func newVolumeBinder(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	claims, err := rematchClaims(core.PersistentVolumeClaims(), core.PersistentVolumes())
	if err != nil {
		return nil, err
	}
	c, err := persistentvolume.NewController(ctx, persistentvolume.ControllerParameters{
		KubeClient:                env.client,
		SyncPeriod:                pvSyncPeriod,
		VolumeInformer:            core.PersistentVolumes(),
		ClaimInformer:             claims,
		ClassInformer:             env.Informers.Storage().V1().StorageClasses(),
		PodInformer:               core.Pods(),
		NodeInformer:              core.Nodes(),
		EnableDynamicProvisioning: true,
	})
	if err != nil {
		return nil, err
	}
	return c.Run, nil
}

func newProvisioner(_ context.Context, env *environment) (runFunc, error) {
	if env.Volumes == nil {
		return nil, nil
	}
	p, err := provisioner.New(provisioner.Config{
		Client:    env.client,
		Informers: env.Informers,
		Volumes:   env.Volumes,
		Profile:   env.Profile,
		Logger:    env.Logger,
	})
	if err != nil {
		return nil, err
	}
	return p.Run, nil
}

func newEphemeralVolumes(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := ephemeral.NewController(ctx, env.client, core.Pods(), core.PersistentVolumeClaims())
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}

func newClaimProtection(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := pvcprotection.NewPVCProtectionController(klog.FromContext(ctx), core.PersistentVolumeClaims(), core.Pods(), env.client)
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}

func newVolumeProtection(ctx context.Context, env *environment) (runFunc, error) {
	return withWorkers(pvprotection.NewPVProtectionController(klog.FromContext(ctx), env.Informers.Core().V1().PersistentVolumes(), env.client).Run, 1), nil
}

func newAttributesClassProtection(ctx context.Context, env *environment) (runFunc, error) {
	core := env.Informers.Core().V1()
	c, err := vacprotection.NewVACProtectionController(klog.FromContext(ctx), env.client, core.PersistentVolumeClaims(), core.PersistentVolumes(), env.Informers.Storage().V1().VolumeAttributesClasses())
	if err != nil {
		return nil, err
	}
	return withWorkers(c.Run, 1), nil
}
