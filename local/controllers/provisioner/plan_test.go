package provisioner

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestPlanClaim(t *testing.T) {
	class := func(change ...func(*storagev1.StorageClass)) *storagev1.StorageClass {
		c := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Provisioner: DriverName, VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer)}
		for _, f := range change {
			f(c)
		}
		return c
	}
	immediate := func(c *storagev1.StorageClass) { c.VolumeBindingMode = ptr.To(storagev1.VolumeBindingImmediate) }
	ours := map[string]string{annotationProvisioner: DriverName, annotationSelectedNode: "skiff"}
	volume := persistentVolume(&corev1.PersistentVolumeClaim{}, class(), "v")
	size := func(q string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(q)}
	}
	now := metav1.Now()

	for _, test := range []struct {
		name    string
		claim   corev1.PersistentVolumeClaim
		class   *storagev1.StorageClass
		volume  *corev1.PersistentVolume
		want    action
		refused bool
	}{
		{name: "without a class there is nothing to do", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: ours}}, want: nothing},
		{name: "a claim for another provisioner is not ours", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: ours}}, class: class(func(c *storagev1.StorageClass) { c.Provisioner = "x" }), want: nothing},
		{name: "the binder has to ask", class: class(immediate), want: nothing},
		{name: "the first pod is waited for", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationProvisioner: DriverName}}}, class: class(), want: nothing},
		{name: "with a node chosen the volume is made", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: ours}}, class: class(), want: provision},
		{name: "an immediate class needs no node", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationProvisionerBeta: DriverName}}}, class: class(immediate), want: provision},
		{name: "a claim that goes gets nothing", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: ours, DeletionTimestamp: &now}}, class: class(), want: nothing},
		{name: "block devices are refused", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: ours}, Spec: corev1.PersistentVolumeClaimSpec{VolumeMode: ptr.To(corev1.PersistentVolumeBlock)}}, class: class(), want: provision, refused: true},
		{name: "clones are refused", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: ours}, Spec: corev1.PersistentVolumeClaimSpec{DataSource: &corev1.TypedLocalObjectReference{}}}, class: class(), want: provision, refused: true},
		{name: "parameters are refused", claim: corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: ours}}, class: class(func(c *storagev1.StorageClass) { c.Parameters = map[string]string{"type": "fast"} }), want: provision, refused: true},
		{
			name:   "a bound claim of the size it asked for is settled",
			claim:  corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v", Resources: corev1.VolumeResourceRequirements{Requests: size("1Gi")}}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: size("1Gi")}},
			volume: volume, want: nothing,
		},
		{
			name:   "a bound claim that asks for more grows",
			claim:  corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v", Resources: corev1.VolumeResourceRequirements{Requests: size("2Gi")}}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: size("1Gi")}},
			volume: volume, want: expand,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := planClaim(&test.claim, test.class, test.volume)
			if got != test.want || (err != nil) != test.refused {
				t.Errorf("got %s and error %v, want %s, refused %t", got, err, test.want, test.refused)
			}
		})
	}
}

func TestPlanVolume(t *testing.T) {
	now := metav1.Now()
	volume := func(phase corev1.PersistentVolumePhase, change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		v := persistentVolume(&corev1.PersistentVolumeClaim{}, &storagev1.StorageClass{}, "v")
		v.Status.Phase = phase
		for _, f := range change {
			f(v)
		}
		return v
	}
	retain := func(v *corev1.PersistentVolume) {
		v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	}
	deleted := func(v *corev1.PersistentVolume) { v.DeletionTimestamp = &now }
	free := func(v *corev1.PersistentVolume) { v.Finalizers = nil }
	foreign := func(v *corev1.PersistentVolume) { v.Annotations = nil }

	for _, test := range []struct {
		name   string
		volume *corev1.PersistentVolume
		want   action
	}{
		{"a bound volume is left alone", volume(corev1.VolumeBound), nothing},
		{"even when it is deleted", volume(corev1.VolumeBound, deleted), nothing},
		{"a released volume is removed", volume(corev1.VolumeReleased), remove},
		{"unless it is to be retained", volume(corev1.VolumeReleased, retain), nothing},
		{"a retained one that a user deletes is let go", volume(corev1.VolumeReleased, retain, deleted), release},
		{"a released volume that a user deletes is removed first", volume(corev1.VolumeReleased, deleted), remove},
		{"what is already let go is done", volume(corev1.VolumeReleased, deleted, free), nothing},
		{"somebody else's volume is not ours", volume(corev1.VolumeReleased, foreign), nothing},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := planVolume(test.volume); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
