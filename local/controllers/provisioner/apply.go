package provisioner

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff.local/skiff/runtime/docker"
)

// The labels of an engine volume beside those of its profile, from which a person can tell what it is for.
const (
	labelClaimName      = "skiff.local/claim-name"
	labelClaimNamespace = "skiff.local/claim-namespace"
	labelVolume         = "skiff.local/persistent-volume"
)

func (p *Provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	volume := persistentVolume(claim, class, engineVolume(p.cfg.Profile, volumeName(claim)))
	if _, err := p.volumes.Get(volume.Name); err == nil {
		return nil // made already; the binder is about to bind it
	}
	if err := p.cfg.Volumes.CreateVolume(ctx, volume.Spec.CSI.VolumeHandle, p.labels(claim, volume)); err != nil {
		p.events.Eventf(claim, corev1.EventTypeWarning, "ProvisioningFailed", "failed to provision volume with StorageClass %q: %v", class.Name, err)
		return fmt.Errorf("create engine volume %s: %w", volume.Spec.CSI.VolumeHandle, err)
	}
	if _, err := p.cfg.Client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{}); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return fmt.Errorf("create persistent volume %s: %w", volume.Name, err)
	}
	p.events.Eventf(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", volume.Name)
	return nil
}

func (p *Provisioner) labels(claim *corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) map[string]string {
	l := docker.ProfileLabels(p.cfg.Profile, docker.RoleVolume)
	maps.Copy(l, map[string]string{labelClaimName: claim.Name, labelClaimNamespace: claim.Namespace, labelVolume: volume.Name})
	return l
}

// expand raises the capacity that volume and claim show: the volume can hold as much as the engine's disk anyway.
func (p *Provisioner) expand(ctx context.Context, claim *corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) error {
	size := *requested(claim)
	if has := volume.Spec.Capacity[corev1.ResourceStorage]; has.Cmp(size) < 0 {
		volume = volume.DeepCopy()
		volume.Spec.Capacity[corev1.ResourceStorage] = size
		if _, err := p.cfg.Client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("expand volume %s: %w", volume.Name, err)
		}
	}
	claim = claim.DeepCopy()
	if claim.Status.Capacity == nil {
		claim.Status.Capacity = corev1.ResourceList{}
	}
	claim.Status.Capacity[corev1.ResourceStorage] = size
	claim.Status.Conditions = slices.DeleteFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == corev1.PersistentVolumeClaimResizing || c.Type == corev1.PersistentVolumeClaimFileSystemResizePending
	})
	if _, err := p.cfg.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("expand claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	p.events.Eventf(claim, corev1.EventTypeNormal, "VolumeResizeSuccessful", "Resize volume succeeded: %s", size.String())
	return nil
}

func (p *Provisioner) remove(ctx context.Context, volume *corev1.PersistentVolume) error {
	if err := p.cfg.Volumes.RemoveVolume(ctx, volume.Spec.CSI.VolumeHandle); err != nil {
		p.events.Event(volume, corev1.EventTypeWarning, "VolumeFailedDelete", err.Error())
		return fmt.Errorf("remove engine volume %s: %w", volume.Spec.CSI.VolumeHandle, err)
	}
	if volume.DeletionTimestamp == nil {
		err := p.cfg.Client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &volume.UID}})
		if ignoreNotFound(err) != nil {
			return fmt.Errorf("delete persistent volume %s: %w", volume.Name, err)
		}
	}
	return p.dropFinalizer(ctx, volume)
}

func (p *Provisioner) dropFinalizer(ctx context.Context, volume *corev1.PersistentVolume) error {
	current, err := p.cfg.Client.CoreV1().PersistentVolumes().Get(ctx, volume.Name, metav1.GetOptions{})
	if err != nil {
		return ignoreNotFound(err)
	}
	kept := slices.DeleteFunc(slices.Clone(current.Finalizers), func(f string) bool { return f == finalizer })
	if current.UID != volume.UID || len(kept) == len(current.Finalizers) {
		return nil
	}
	current.Finalizers = kept
	if _, err := p.cfg.Client.CoreV1().PersistentVolumes().Update(ctx, current, metav1.UpdateOptions{}); ignoreNotFound(err) != nil {
		return fmt.Errorf("release persistent volume %s: %w", volume.Name, err)
	}
	return nil
}

func list(claims corelisters.PersistentVolumeClaimLister) []*corev1.PersistentVolumeClaim {
	all, err := claims.List(labels.Everything())
	if err != nil { // a lister over a cache has none
		return nil
	}
	return all
}
