package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/controllers/provisioner"
)

func claim(name string, change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func podWithClaim(name, claim string) *corev1.Pod {
	template := podTemplate(name)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: template.Labels}, Spec: template.Spec}
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
	return pod
}

func (c *cluster) waitClaim(t *testing.T, ns, name string) *corev1.PersistentVolumeClaim {
	t.Helper()
	var got *corev1.PersistentVolumeClaim
	eventually(t, "claim "+name+" to be bound", func() (bool, string) {
		var err error
		got, err = c.client.CoreV1().PersistentVolumeClaims(ns).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && got.Status.Phase == corev1.ClaimBound, fmt.Sprintf("%+v %v", got.Status, err)
	})
	return got
}

func (c *cluster) waitRunning(t *testing.T, ns, name string) *corev1.Pod {
	t.Helper()
	var got *corev1.Pod
	eventually(t, "pod "+name+" to run", func() (bool, string) {
		var err error
		got, err = c.client.CoreV1().Pods(ns).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && got.Status.Phase == corev1.PodRunning, fmt.Sprintf("%+v %v", got.Status, err)
	})
	return got
}

func testClaimWaitsForPod(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	claims, volumes, pods := c.client.CoreV1().PersistentVolumeClaims(ns), c.client.CoreV1().PersistentVolumes(), c.client.CoreV1().Pods(ns)
	created, err := claims.Create(t.Context(), claim("data"), metav1.CreateOptions{})
	check(t, err)
	if class := ptr.Deref(created.Spec.StorageClassName, ""); class != provisioner.ClassName {
		t.Fatalf("the claim got storage class %q", class)
	}
	eventually(t, "an event that says what the claim waits for", func() (bool, string) {
		return c.hasEvent(t, ns, "data", "WaitForFirstConsumer")
	})
	_, err = pods.Create(t.Context(), podWithClaim("user", "data"), metav1.CreateOptions{})
	check(t, err)
	bound := c.waitClaim(t, ns, "data")
	c.waitRunning(t, ns, "user")
	engineVolume := "skiff-test-" + bound.Spec.VolumeName
	if !c.volumes.has(engineVolume) {
		t.Errorf("there is no engine volume %s", engineVolume)
	}
	pv, err := volumes.Get(t.Context(), bound.Spec.VolumeName, metav1.GetOptions{})
	check(t, err)
	if pv.Spec.CSI == nil || pv.Spec.CSI.VolumeHandle != engineVolume || pv.Spec.CSI.Driver != provisioner.DriverName {
		t.Errorf("the volume's source is %+v", pv.Spec.PersistentVolumeSource)
	}

	// A claim in use stays; without its pod it goes, and takes the volume with it.
	check(t, claims.Delete(t.Context(), "data", metav1.DeleteOptions{}))
	if got, err := claims.Get(t.Context(), "data", metav1.GetOptions{}); err != nil || got.DeletionTimestamp == nil {
		t.Errorf("a claim in use was deleted: %v", err)
	}
	check(t, pods.Delete(t.Context(), "user", metav1.DeleteOptions{}))
	eventually(t, "claim, volume and engine volume to be gone", func() (bool, string) {
		_, errClaim := claims.Get(t.Context(), "data", metav1.GetOptions{})
		_, errVolume := volumes.Get(t.Context(), bound.Spec.VolumeName, metav1.GetOptions{})
		return apierrors.IsNotFound(errClaim) && apierrors.IsNotFound(errVolume) && !c.volumes.has(engineVolume), fmt.Sprint(errClaim, errVolume)
	})
}

func testRetainedVolume(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	claims, volumes := c.client.CoreV1().PersistentVolumeClaims(ns), c.client.CoreV1().PersistentVolumes()
	_, err := claims.Create(t.Context(), claim("data", func(p *corev1.PersistentVolumeClaim) {
		p.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}), metav1.CreateOptions{})
	check(t, err)
	_, err = c.client.CoreV1().Pods(ns).Create(t.Context(), podWithClaim("user", "data"), metav1.CreateOptions{})
	check(t, err)
	bound := c.waitClaim(t, ns, "data")
	patch := []byte(`{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	_, err = volumes.Patch(t.Context(), bound.Spec.VolumeName, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	check(t, err)
	check(t, c.client.CoreV1().Pods(ns).Delete(t.Context(), "user", metav1.DeleteOptions{}))
	check(t, claims.Delete(t.Context(), "data", metav1.DeleteOptions{}))
	eventually(t, "the volume to be released", func() (bool, string) {
		pv, err := volumes.Get(t.Context(), bound.Spec.VolumeName, metav1.GetOptions{})
		return err == nil && pv.Status.Phase == corev1.VolumeReleased, fmt.Sprint(pv.Status, err)
	})
	check(t, volumes.Delete(t.Context(), bound.Spec.VolumeName, metav1.DeleteOptions{}))
	eventually(t, "the volume to be gone", func() (bool, string) {
		_, err := volumes.Get(t.Context(), bound.Spec.VolumeName, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	if !c.volumes.has("skiff-test-" + bound.Spec.VolumeName) {
		t.Error("the engine's volume was removed although the policy is Retain")
	}
}

func testExpandedClaim(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	claims := c.client.CoreV1().PersistentVolumeClaims(ns)
	_, err := claims.Create(t.Context(), claim("data"), metav1.CreateOptions{})
	check(t, err)
	_, err = c.client.CoreV1().Pods(ns).Create(t.Context(), podWithClaim("user", "data"), metav1.CreateOptions{})
	check(t, err)
	c.waitClaim(t, ns, "data")
	_, err = claims.Patch(t.Context(), "data", types.MergePatchType, []byte(`{"spec":{"resources":{"requests":{"storage":"5Gi"}}}}`), metav1.PatchOptions{})
	check(t, err)
	want := resource.MustParse("5Gi")
	eventually(t, "the claim to have 5Gi", func() (bool, string) {
		got, err := claims.Get(t.Context(), "data", metav1.GetOptions{})
		check(t, err)
		size := got.Status.Capacity[corev1.ResourceStorage]
		return size.Cmp(want) == 0, size.String()
	})
}

func testBlockClaimIsRefused(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.CoreV1().PersistentVolumeClaims(ns).Create(t.Context(), claim("raw", func(p *corev1.PersistentVolumeClaim) {
		p.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock)
	}), metav1.CreateOptions{})
	check(t, err)
	pod := podWithClaim("user", "raw")
	pod.Spec.Containers[0].VolumeDevices = []corev1.VolumeDevice{{Name: "data", DevicePath: "/dev/x"}}
	_, err = c.client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "an event that says why", func() (bool, string) { return c.hasEvent(t, ns, "raw", "ProvisioningFailed") })
}

func testEphemeralVolume(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	template := podTemplate("scratch")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "scratch"}, Spec: template.Spec}
	pod.Spec.Volumes = []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
		VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: claim("").Spec},
	}}}}
	_, err := c.client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{})
	check(t, err)
	c.waitRunning(t, ns, "scratch")
	bound := c.waitClaim(t, ns, "scratch-tmp")
	check(t, c.client.CoreV1().Pods(ns).Delete(t.Context(), "scratch", metav1.DeleteOptions{}))
	eventually(t, "the claim and its volume to go with the pod", func() (bool, string) {
		_, err := c.client.CoreV1().PersistentVolumeClaims(ns).Get(t.Context(), "scratch-tmp", metav1.GetOptions{})
		return apierrors.IsNotFound(err) && !c.volumes.has("skiff-test-"+bound.Spec.VolumeName), fmt.Sprint(err)
	})
}

// testStaticVolume binds a claim to a volume that a user made by hand, without a class.
func testStaticVolume(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "static-" + ns},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              "by-hand-" + ns,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}},
		},
	}, metav1.CreateOptions{})
	check(t, err)
	_, err = c.client.CoreV1().PersistentVolumeClaims(ns).Create(t.Context(), claim("data", func(p *corev1.PersistentVolumeClaim) {
		p.Spec.StorageClassName = ptr.To("by-hand-" + ns)
	}), metav1.CreateOptions{})
	check(t, err)
	if bound := c.waitClaim(t, ns, "data"); bound.Spec.VolumeName != "static-"+ns {
		t.Errorf("bound to %s", bound.Spec.VolumeName)
	}
}

// hasEvent tells whether something happened to an object, and what did instead.
func (c *cluster) hasEvent(t *testing.T, ns, object, reason string) (bool, string) {
	t.Helper()
	events, err := c.client.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	var saw []string
	for _, e := range events.Items {
		if e.InvolvedObject.Name == object {
			saw = append(saw, e.Reason+": "+e.Message)
			if e.Reason == reason {
				return true, ""
			}
		}
	}
	return false, strings.Join(saw, "; ")
}
