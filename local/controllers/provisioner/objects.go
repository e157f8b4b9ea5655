package provisioner

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/runtime/volume"
)

const (
	// DriverName is the provisioner of the class and the CSI driver of its volumes.
	DriverName = volume.CSIDriver
	// ClassName is the default StorageClass.
	ClassName = "standard"

	annotationDefaultClass = "storageclass.kubernetes.io/is-default-class"
	// annotationProvisionedBy tells the volume binder who deletes the volume.
	annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"
	// annotationProvisioner is put on a claim by the volume binder when it wants a volume made, and by whom; the
	// second is its name before Kubernetes 1.23.
	annotationProvisioner     = "volume.kubernetes.io/storage-provisioner"
	annotationProvisionerBeta = "volume.beta.kubernetes.io/storage-provisioner"
	// annotationSelectedNode is put on a claim by the scheduler when its first pod has found a node.
	annotationSelectedNode = "volume.kubernetes.io/selected-node"
	// finalizer keeps a PersistentVolume until its engine volume is gone; the name is the one CSI's provisioner uses.
	finalizer = "external-provisioner.volume.kubernetes.io/finalizer"
)

// ensureObjects creates the StorageClass and the CSIDriver where they don't exist. What users made of them stays.
func ensureObjects(ctx context.Context, client kubernetes.Interface) error {
	class := &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: ClassName, Annotations: map[string]string{annotationDefaultClass: "true"}},
		Provisioner:          DriverName,
		ReclaimPolicy:        ptr.To(corev1.PersistentVolumeReclaimDelete),
		VolumeBindingMode:    ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
		AllowVolumeExpansion: ptr.To(true),
	}
	if _, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create storage class %s: %w", class.Name, err)
	}
	driver := &storagev1.CSIDriver{
		ObjectMeta: metav1.ObjectMeta{Name: DriverName},
		Spec: storagev1.CSIDriverSpec{
			AttachRequired:       ptr.To(false),
			PodInfoOnMount:       ptr.To(false),
			VolumeLifecycleModes: []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent},
		},
	}
	if _, err := client.StorageV1().CSIDrivers().Create(ctx, driver, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create CSI driver %s: %w", driver.Name, err)
	}
	return nil
}

// persistentVolume is the volume that answers the claim. volume is its name in the engine.
func persistentVolume(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, volume string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        volumeName(claim),
			Annotations: map[string]string{annotationProvisionedBy: DriverName},
			Finalizers:  []string{finalizer},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: ptr.Deref(class.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			StorageClassName:              class.Name,
			MountOptions:                  class.MountOptions,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: DriverName, VolumeHandle: volume}},
		},
	}
}

// volumeName is the PersistentVolume of a claim: the same for every attempt, so that none is made twice.
func volumeName(claim *corev1.PersistentVolumeClaim) string { return "pvc-" + string(claim.UID) }

// engineVolume is the name of the engine's volume behind a PersistentVolume.
func engineVolume(profile, volume string) string { return "skiff-" + profile + "-" + volume }
