package provisioner

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// action is what is to be done about a claim or a volume.
type action string

const (
	nothing   action = "nothing"
	provision action = "provision" // make the engine's volume and the PersistentVolume
	expand    action = "expand"    // say that the volume is as large as asked for
	remove    action = "remove"    // remove the engine's volume, then the PersistentVolume
	release   action = "release"   // let the PersistentVolume go and keep the engine's volume
)

// planClaim decides about a claim. class is the claim's, volume the one it is bound to; either may be nil. An error is
// final: the claim asks for what an engine's volume can't be.
func planClaim(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, volume *corev1.PersistentVolume) (action, error) {
	if claim.DeletionTimestamp != nil {
		return nothing, nil
	}
	if claim.Spec.VolumeName != "" {
		if volume != nil && ours(volume) && claim.Status.Phase == corev1.ClaimBound && grows(claim) {
			return expand, nil
		}
		return nothing, nil
	}
	if class == nil || class.Provisioner != DriverName || wantedProvisioner(claim) != DriverName {
		return nothing, nil
	}
	waits := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	if waits && claim.Annotations[annotationSelectedNode] == "" {
		return nothing, nil
	}
	return provision, unsupported(claim, class)
}

func unsupported(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	switch {
	case claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode != corev1.PersistentVolumeFilesystem:
		return errors.New("volumes of the Docker Engine are file systems; volumeMode Block is not supported")
	case claim.Spec.Selector != nil:
		return errors.New("a claim with a selector is only bound to existing volumes")
	case claim.Spec.DataSource != nil || claim.Spec.DataSourceRef != nil:
		return errors.New("the Docker Engine can't clone or restore volumes; dataSource is not supported")
	case len(class.Parameters) > 0:
		return errors.New("storage class " + class.Name + " has parameters; " + DriverName + " takes none")
	}
	return nil
}

// planVolume decides about a PersistentVolume.
func planVolume(volume *corev1.PersistentVolume) action {
	if !ours(volume) {
		return nothing
	}
	deleted, held := volume.DeletionTimestamp != nil, slices.Contains(volume.Finalizers, finalizer)
	unused := volume.Status.Phase == corev1.VolumeReleased || volume.Status.Phase == corev1.VolumeFailed || deleted && volume.Status.Phase != corev1.VolumeBound
	switch {
	case deleted && !held:
		return nothing
	case volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && unused:
		return remove
	case deleted && unused:
		return release
	}
	return nothing
}

func ours(v *corev1.PersistentVolume) bool {
	return v.Annotations[annotationProvisionedBy] == DriverName && v.Spec.CSI != nil && v.Spec.CSI.Driver == DriverName
}

func wantedProvisioner(claim *corev1.PersistentVolumeClaim) string {
	if p, ok := claim.Annotations[annotationProvisioner]; ok {
		return p
	}
	return claim.Annotations[annotationProvisionerBeta]
}

// grows tells whether a bound claim asks for more than it has.
func grows(claim *corev1.PersistentVolumeClaim) bool {
	return requested(claim).Cmp(claim.Status.Capacity[corev1.ResourceStorage]) > 0
}

func requested(claim *corev1.PersistentVolumeClaim) *resource.Quantity {
	q := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	return &q
}
