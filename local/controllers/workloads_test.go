package controllers_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// podTemplate is a pod of one container with the label app.
func podTemplate(app string, change ...func(*corev1.PodTemplateSpec)) corev1.PodTemplateSpec {
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "test:1"}}},
	}
	for _, f := range change {
		f(&template)
	}
	return template
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func deployment(name string, replicas int32, change ...func(*corev1.PodTemplateSpec)) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector(name), Template: podTemplate(name, change...)},
	}
}

func testDeployment(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	api := c.client.AppsV1().Deployments(ns)
	begin := time.Now()
	_, err := api.Create(t.Context(), deployment("web", 10), metav1.CreateOptions{})
	check(t, err)
	c.waitDeployment(t, ns, "web", 10)
	t.Logf("10 replicas ready after %s", time.Since(begin).Round(time.Millisecond))

	d, err := api.Get(t.Context(), "web", metav1.GetOptions{})
	check(t, err)
	d.Spec.Template.Spec.Containers[0].Image = "test:2"
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
		MaxUnavailable: ptr.To(intOne), MaxSurge: ptr.To(intOne),
	}}
	_, err = api.Update(t.Context(), d, metav1.UpdateOptions{})
	check(t, err)
	c.waitDeployment(t, ns, "web", 10)
	sets, err := c.client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	if len(sets.Items) != 2 {
		t.Errorf("after one update there are %d ReplicaSets, want the old and the new one", len(sets.Items))
	}
	pods, err := c.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil && p.Spec.Containers[0].Image != "test:2" {
			t.Errorf("pod %s still has image %s", p.Name, p.Spec.Containers[0].Image)
		}
	}
}

// waitDeployment waits until the rollout is complete, as kubectl rollout status does.
func (c *cluster) waitDeployment(t *testing.T, ns, name string, replicas int32) {
	t.Helper()
	eventually(t, fmt.Sprintf("Deployment %s to have %d ready replicas", name, replicas), func() (bool, string) {
		d, err := c.client.AppsV1().Deployments(ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		s := d.Status
		done := s.ObservedGeneration == d.Generation && s.UpdatedReplicas == replicas && s.ReadyReplicas == replicas && s.AvailableReplicas == replicas && s.Replicas == replicas
		return done, fmt.Sprintf("%+v", s)
	})
}

var intOne = intstr.FromInt32(1)
