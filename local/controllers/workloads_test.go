package controllers_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

func testStatefulSet(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.AppsV1().StatefulSets(ns).Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To[int32](3), ServiceName: "db", Selector: selector("db"), Template: podTemplate("db"),
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{*claim("data")},
		},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "db-0, db-1 and db-2 to be ready in turn", func() (bool, string) {
		s, err := c.client.AppsV1().StatefulSets(ns).Get(t.Context(), "db", metav1.GetOptions{})
		return err == nil && s.Status.ReadyReplicas == 3, fmt.Sprintf("%+v %v", s.Status, err)
	})
	for i := range 3 {
		pvc, err := c.client.CoreV1().PersistentVolumeClaims(ns).Get(t.Context(), fmt.Sprintf("data-db-%d", i), metav1.GetOptions{})
		check(t, err)
		if pvc.Status.Phase != corev1.ClaimBound {
			t.Errorf("claim %s is %s", pvc.Name, pvc.Status.Phase)
		}
	}
}

func testDaemonSet(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.AppsV1().DaemonSets(ns).Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector("agent"), Template: podTemplate("agent")},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "one pod on each of the three nodes", func() (bool, string) {
		d, err := c.client.AppsV1().DaemonSets(ns).Get(t.Context(), "agent", metav1.GetOptions{})
		return err == nil && d.Status.NumberReady == 3 && d.Status.DesiredNumberScheduled == 3, fmt.Sprintf("%+v %v", d.Status, err)
	})
	on := map[string]int{}
	for _, p := range c.pods(t, ns) {
		on[p.Spec.NodeName]++
	}
	if on["skiff"] != 1 || on["skiff-2"] != 1 || on["skiff-3"] != 1 {
		t.Errorf("pods by node: %v", on)
	}
}

func finishing(template *corev1.PodTemplateSpec) {
	template.Annotations = map[string]string{annotationExit: "0"}
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
}

func testJob(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	begin := time.Now()
	_, err := c.client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec:       batchv1.JobSpec{Completions: ptr.To[int32](20), Parallelism: ptr.To[int32](4), Template: podTemplate("work", finishing)},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "20 completions", func() (bool, string) {
		j, err := c.client.BatchV1().Jobs(ns).Get(t.Context(), "work", metav1.GetOptions{})
		check(t, err)
		if j.Status.Active > 4 {
			t.Errorf("%d pods run at once, want at most 4", j.Status.Active)
		}
		return j.Status.Succeeded == 20 && j.Status.CompletionTime != nil, fmt.Sprintf("%+v", j.Status)
	})
	t.Logf("20 completions, 4 at a time, after %s", time.Since(begin).Round(time.Millisecond))
}

func testFinishedJobGoes(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	_, err := c.client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec:       batchv1.JobSpec{TTLSecondsAfterFinished: ptr.To[int32](0), Template: podTemplate("work", finishing)},
	}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "the Job and its pod to be deleted", func() (bool, string) {
		_, err := c.client.BatchV1().Jobs(ns).Get(t.Context(), "work", metav1.GetOptions{})
		pods := c.pods(t, ns)
		return apierrors.IsNotFound(err) && len(pods) == 0, fmt.Sprintf("%v, %d pods", err, len(pods))
	})
}

// testCronJob moves the CronJob's creation into the past instead of waiting for the next minute.
func testCronJob(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	jobs := c.client.BatchV1().CronJobs(ns)
	cron, err := jobs.Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "tick"},
		Spec: batchv1.CronJobSpec{
			Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: podTemplate("tick", finishing)}},
		},
	}, metav1.CreateOptions{})
	check(t, err)
	cron.Status.LastScheduleTime = ptr.To(metav1.NewTime(time.Now().Add(-10 * time.Minute)))
	_, err = jobs.UpdateStatus(t.Context(), cron, metav1.UpdateOptions{})
	check(t, err)
	eventually(t, "a Job made by the CronJob to finish", func() (bool, string) {
		list, err := c.client.BatchV1().Jobs(ns).List(t.Context(), metav1.ListOptions{})
		check(t, err)
		return len(list.Items) > 0 && list.Items[0].Status.Succeeded == 1, fmt.Sprintf("%d Jobs", len(list.Items))
	})
}

func (c *cluster) pods(t *testing.T, ns string) []corev1.Pod {
	t.Helper()
	list, err := c.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	return list.Items
}
