package controllers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func (c *cluster) waitGone(t *testing.T, ns string, wantSets, wantPods int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d ReplicaSets and %d pods to be left", wantSets, wantPods), func() (bool, string) {
		_, err := c.client.AppsV1().Deployments(ns).Get(t.Context(), "web", metav1.GetOptions{})
		sets, listErr := c.client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{})
		check(t, listErr)
		pods := c.pods(t, ns)
		return apierrors.IsNotFound(err) && len(sets.Items) == wantSets && len(pods) == wantPods, fmt.Sprintf("%v, %d ReplicaSets, %d pods", err, len(sets.Items), len(pods))
	})
}

func testGarbage(policy metav1.DeletionPropagation, wantSets, wantPods int) func(*testing.T, *cluster) {
	return func(t *testing.T, c *cluster) {
		ns := c.namespace(t)
		api := c.client.AppsV1().Deployments(ns)
		_, err := api.Create(t.Context(), deployment("web", 3), metav1.CreateOptions{})
		check(t, err)
		c.waitDeployment(t, ns, "web", 3)
		check(t, api.Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &policy}))
		if policy == metav1.DeletePropagationForeground {
			if d, err := api.Get(t.Context(), "web", metav1.GetOptions{}); err == nil && !slices.Contains(d.Finalizers, metav1.FinalizerDeleteDependents) {
				t.Errorf("finalizers of a Deployment deleted in the foreground: %v", d.Finalizers)
			}
		}
		c.waitGone(t, ns, wantSets, wantPods)
		if policy == metav1.DeletePropagationOrphan {
			sets, err := c.client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{})
			check(t, err)
			if owners := sets.Items[0].OwnerReferences; len(owners) != 0 {
				t.Errorf("the orphan still has owners %v", owners)
			}
		}
	}
}

func testNamespaceDeletion(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("web", 3), metav1.CreateOptions{})
	check(t, err)
	_, err = c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}}, metav1.CreateOptions{})
	check(t, err)
	c.waitDeployment(t, ns, "web", 3)
	begin := time.Now()
	check(t, c.client.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}))
	eventually(t, "the namespace to be gone", func() (bool, string) {
		n, err := c.client.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprintf("%+v", n.Status)
	})
	t.Logf("a namespace with a Deployment of three was gone after %s", time.Since(begin).Round(time.Millisecond))
}

func testQuota(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	quotas := c.client.CoreV1().ResourceQuotas(ns)
	_, err := quotas.Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "limit"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2"), "count/configmaps": resource.MustParse("5"), "count/secrets": resource.MustParse("0")}},
	}, metav1.CreateOptions{})
	check(t, err)
	used := func(name corev1.ResourceName, want string) {
		t.Helper()
		begin := time.Now()
		eventually(t, fmt.Sprintf("%s %s to be used", want, name), func() (bool, string) {
			q, err := quotas.Get(t.Context(), "limit", metav1.GetOptions{})
			check(t, err)
			have := q.Status.Used[name]
			return have.Cmp(resource.MustParse(want)) == 0 && len(q.Status.Hard) == 3, fmt.Sprintf("%+v", q.Status)
		})
		t.Logf("%s %s used after %s", want, name, time.Since(begin).Round(time.Millisecond))
	}
	used(corev1.ResourcePods, "0")
	used("count/configmaps", "1")
	eventually(t, "admission to know the quota", func() (bool, string) {
		_, err := c.client.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "none"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsForbidden(err), fmt.Sprint(err)
	})
	_, err = c.client.AppsV1().ReplicaSets(ns).Create(t.Context(), &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "many"},
		Spec:       appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](3), Selector: selector("many"), Template: podTemplate("many")},
	}, metav1.CreateOptions{})
	check(t, err)
	used(corev1.ResourcePods, "2")
	eventually(t, "an event about the quota", func() (bool, string) { return c.hasEvent(t, ns, "many", "FailedCreate") })
	check(t, c.client.AppsV1().ReplicaSets(ns).Delete(t.Context(), "many", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}))
	used(corev1.ResourcePods, "0")
}

func testDisruptionBudget(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("web", 2), metav1.CreateOptions{})
	check(t, err)
	_, err = c.client.PolicyV1().PodDisruptionBudgets(ns).Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr.To(intOne), Selector: selector("web")},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "one disruption to be allowed", func() (bool, string) {
		b, err := c.client.PolicyV1().PodDisruptionBudgets(ns).Get(t.Context(), "web", metav1.GetOptions{})
		check(t, err)
		return b.Status.DisruptionsAllowed == 1 && b.Status.ExpectedPods == 2, fmt.Sprintf("%+v", b.Status)
	})
}

func testAutoscaler(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.usage.cpuMillis.Store(400)
	request := func(template *corev1.PodTemplateSpec) {
		template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	}
	_, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("busy", 1, request), metav1.CreateOptions{})
	check(t, err)
	c.waitDeployment(t, ns, "busy", 1)
	_, err = c.client.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "busy"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "busy"},
			MaxReplicas:    3,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](100)},
			}}},
		},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "the Deployment to be scaled to its maximum", func() (bool, string) {
		h, err := c.client.AutoscalingV2().HorizontalPodAutoscalers(ns).Get(t.Context(), "busy", metav1.GetOptions{})
		check(t, err)
		d, err := c.client.AppsV1().Deployments(ns).Get(t.Context(), "busy", metav1.GetOptions{})
		check(t, err)
		return *d.Spec.Replicas == 3, fmt.Sprintf("%+v", h.Status)
	})
}
