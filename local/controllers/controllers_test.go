package controllers_test

import (
	"fmt"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestControllers runs everything on one cluster: a test binary with the whole of Kubernetes in it is expensive to
// build and to start, and tests that share a cluster find what disturbs what.
func TestControllers(t *testing.T) {
	c := startCluster(t)
	t.Run("side by side", func(t *testing.T) {
		for _, test := range []struct {
			name string
			run  func(*testing.T, *cluster)
		}{
			{"a Deployment becomes ready and rolls", testDeployment},
			{"a StatefulSet starts in order with a volume each", testStatefulSet},
			{"a DaemonSet runs on every node", testDaemonSet},
			{"a Job completes four at a time", testJob},
			{"a finished Job goes after its TTL", testFinishedJobGoes},
			{"a CronJob makes Jobs", testCronJob},
			{"a Service gets EndpointSlices and Endpoints", testEndpoints},
			{"a claim waits for its pod, and its volume goes with it", testClaimWaitsForPod},
			{"a retained volume outlives its claim", testRetainedVolume},
			{"a claim grows", testExpandedClaim},
			{"a claim for a block device is refused", testBlockClaimIsRefused},
			{"an ephemeral volume lives as long as its pod", testEphemeralVolume},
			{"a claim binds a volume made by hand", testStaticVolume},
			{"a pod too large for every node stays pending", testPodTooLarge},
			{"anti-affinity keeps pods apart", testAntiAffinity},
			{"a spread constraint is kept", testSpread},
			{"deleting in the foreground takes the dependents first", testGarbage(metav1.DeletePropagationForeground, 0, 0)},
			{"deleting in the background takes the dependents after", testGarbage(metav1.DeletePropagationBackground, 0, 0)},
			{"deleting with orphaning leaves the dependents", testGarbage(metav1.DeletePropagationOrphan, 1, 3)},
			{"deleting a namespace takes everything in it", testNamespaceDeletion},
			{"a quota counts and refuses", testQuota},
			{"a disruption budget counts", testDisruptionBudget},
			{"an autoscaler follows the load", testAutoscaler},
			{"metrics are sampled for those who ask", testMetrics},
			{"a certificate request is signed when approved", testCertificate},
			{"a token Secret is filled", testTokenSecret},
			{"cluster roles are aggregated", testAggregatedRole},
			{"an admission policy's expressions are checked", testAdmissionPolicy},
			{"objects of a new kind are collected as garbage", testCustomGarbage},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, c)
			})
		}
	})
	t.Run("maintenance", func(t *testing.T) { testMaintenance(t, c) })
}

// TestControllersGoOnAfterARestart sees that controllers which wait for their first object find those of before.
func TestControllersGoOnAfterARestart(t *testing.T) {
	dir, volumes := t.TempDir(), newFakeVolumes()
	c := startClusterIn(t, dir, volumes)
	ns := c.namespace(t)
	_, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("web", 3), metav1.CreateOptions{})
	check(t, err)
	_, err = c.client.CoreV1().PersistentVolumeClaims(ns).Create(t.Context(), claim("data"), metav1.CreateOptions{})
	check(t, err)
	c.create(t, ns, podWithClaim("user", "data"))
	_, err = c.client.CoreV1().ResourceQuotas(ns).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "limit"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("20")}},
	}, metav1.CreateOptions{})
	check(t, err)
	c.waitDeployment(t, ns, "web", 3)
	c.waitRunning(t, ns, "user")
	before := map[types.UID]bool{}
	for _, p := range c.pods(t, ns) {
		before[p.UID] = true
	}
	c.stop()

	c = startClusterIn(t, dir, volumes)
	for _, p := range c.pods(t, ns) {
		if !before[p.UID] {
			t.Errorf("pod %s is new after the restart", p.Name)
		}
	}
	_, err = c.client.AppsV1().Deployments(ns).UpdateScale(t.Context(), "web", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: ns}, Spec: autoscalingv1.ScaleSpec{Replicas: 5},
	}, metav1.UpdateOptions{})
	check(t, err)
	c.waitDeployment(t, ns, "web", 5)
	eventually(t, "the quota to count the new pods", func() (bool, string) {
		q, err := c.client.CoreV1().ResourceQuotas(ns).Get(t.Context(), "limit", metav1.GetOptions{})
		check(t, err)
		used := q.Status.Used[corev1.ResourcePods]
		return used.Value() == 6, used.String()
	})
	check(t, c.client.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}))
	eventually(t, "namespace, volume and engine volume to be gone", func() (bool, string) {
		_, err := c.client.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
		list, listErr := c.client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
		check(t, listErr)
		return apierrors.IsNotFound(err) && len(list.Items) == 0 && volumes.count() == 0, fmt.Sprintf("%v, %d volumes, %d in the engine", err, len(list.Items), volumes.count())
	})
}
