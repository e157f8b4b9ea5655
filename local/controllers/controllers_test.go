package controllers_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
