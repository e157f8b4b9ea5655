package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// runningPod makes a pod on a node, with an address, as if its containers ran.
func (c *testCluster) runningPod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	ctx := t.Context()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	pods := c.client.CoreV1().Pods(namespace)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name}, Target: corev1.ObjectReference{Kind: "Node", Name: "node"}}
	if err := pods.Bind(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if pod, err = pods.Get(ctx, name, metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.244.0.9", PodIPs: []corev1.PodIP{{IP: "10.244.0.9"}},
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "c", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
	}
	if pod, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return pod
}

func TestKubeletSubresourcesReachTheHandler(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	c.runningPod(t, ns, "p")
	pod := "/api/v1/namespaces/" + ns + "/pods/p"
	for _, r := range []struct{ method, path, want string }{
		{"GET", pod + "/log", "kubelet of node:10250: GET /containerLogs/" + ns + "/p/c"},
		{"GET", pod + "/log?container=c&tailLines=2&follow=true&timestamps=true", "kubelet of node:10250: GET /containerLogs/" + ns + "/p/c?follow=true&tailLines=2&timestamps=true"},
		{"GET", "/api/v1/nodes/node/proxy/stats/summary", "kubelet of node:10250: GET /stats/summary"},
		{"GET", "/api/v1/nodes/node:10250/proxy/healthz", "kubelet of node:10250: GET /healthz"},
	} {
		if code, _, body := c.do(t, r.method, r.path, ""); code != 200 || body != r.want {
			t.Errorf("%s %s: %d %s, want %s", r.method, r.path, code, body, r.want)
		}
	}
	if code, _, body := c.do(t, "GET", pod+"/log?container=nope", ""); code != 400 || !strings.Contains(body, "container nope is not valid for pod p") {
		t.Errorf("logs of a container that is not there: %d %s", code, body)
	}
	if code, _, body := c.do(t, "GET", "/api/v1/nodes/nobody/proxy/healthz", ""); code != 404 {
		t.Errorf("a node that is not there: %d %s", code, body)
	}
}

func TestProxiesReachPodsAndServices(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "backend ", r.URL.Path) }))
	defer backend.Close()
	c.runningPod(t, ns, "p")
	c.serve("10.244.0.9:8080", backend.Listener.Addr().String())
	if code, _, body := c.do(t, "GET", "/api/v1/namespaces/"+ns+"/pods/p:8080/proxy/a/b", ""); code != 200 || body != "backend /a/b" {
		t.Errorf("through the pod: %d %s", code, body)
	}
	_, err := c.client.CoreV1().Services(ns).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.client.CoreV1().Endpoints(ns).Create(ctx, &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "s", Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: "10.244.0.9", TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "p"}}},
			Ports:     []corev1.EndpointPort{{Name: "http", Port: 8080}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"s:http", "s:80", "http:s:80"} {
		if code, _, body := c.do(t, "GET", "/api/v1/namespaces/"+ns+"/services/"+name+"/proxy/x", ""); code != 200 || body != "backend /x" {
			t.Errorf("through the service as %s: %d %s", name, code, body)
		}
	}
}

func TestEvictionHeedsTheBudget(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	c.runningPod(t, ns, "p")
	pdb, err := c.client.PolicyV1().PodDisruptionBudgets(ns).Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "b"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What the disruption controller would say.
	pdb.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: pdb.Generation, CurrentHealthy: 1, DesiredHealthy: 1, ExpectedPods: 1}
	if pdb, err = c.client.PolicyV1().PodDisruptionBudgets(ns).UpdateStatus(ctx, pdb, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	evict := func() error {
		return c.client.PolicyV1().Evictions(ns).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: ns}})
	}
	if err := evict(); !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), "Cannot evict pod as it would violate the pod's disruption budget.") {
		t.Errorf("eviction against the budget: %v", err)
	}
	pdb.Status.DisruptionsAllowed = 1
	if _, err = c.client.PolicyV1().PodDisruptionBudgets(ns).UpdateStatus(ctx, pdb, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := evict(); err != nil {
		t.Errorf("eviction within the budget: %v", err)
	}
	pod, err := c.client.CoreV1().Pods(ns).Get(ctx, "p", metav1.GetOptions{})
	if err != nil || pod.DeletionTimestamp == nil {
		t.Errorf("the evicted pod is not being deleted: %v", err)
	}
}

func TestPodSubresourcesThatChangeTheSpec(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	c.runningPod(t, ns, "p")
	pod := "/api/v1/namespaces/" + ns + "/pods/p"
	const strategic = "application/strategic-merge-patch+json"
	code, _, body := c.do(t, "PATCH", pod+"/ephemeralcontainers", `{"spec":{"ephemeralContainers":[{"name":"debug","image":"busybox"}]}}`, "Content-Type", strategic)
	if code != 200 || !strings.Contains(body, `"ephemeralContainers":[{"name":"debug"`) {
		t.Errorf("ephemeral container: %d %s", code, body)
	}
	code, _, body = c.do(t, "PATCH", pod, `{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]}}`, "Content-Type", strategic)
	if code != 422 || !strings.Contains(body, "pod updates may not change fields other than") {
		t.Errorf("resources without the subresource: %d %s", code, body)
	}
	code, _, body = c.do(t, "PATCH", pod, `{"spec":{"containers":[{"name":"c","image":"other"}]}}`, "Content-Type", strategic)
	if code != 200 {
		t.Errorf("image: %d %s", code, body)
	}
}

func TestBoundTokenDiesWithItsPod(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	pod := c.runningPod(t, ns, "p")
	token, err := c.client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: pod.UID}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	self := func() error {
		review, err := c.as(t, token.Status.Token).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil && fmt.Sprint(review.Status.UserInfo.Extra["authentication.kubernetes.io/pod-name"]) != "[p]" {
			t.Errorf("the token does not name its pod: %v", review.Status.UserInfo.Extra)
		}
		return err
	}
	if err := self(); err != nil {
		t.Fatal(err)
	}
	if err := c.client.CoreV1().Pods(ns).Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token is refused", func() error {
		if err := self(); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("self review: %v", err)
		}
		return nil
	})
}

func TestQuotaAndLimitsApply(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	q, err := c.client.CoreV1().ResourceQuotas(ns).Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"configmaps": *quantity(t, "1")}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	q.Status = corev1.ResourceQuotaStatus{Hard: q.Spec.Hard, Used: corev1.ResourceList{"configmaps": *quantity(t, "1")}}
	if _, err := c.client.CoreV1().ResourceQuotas(ns).UpdateStatus(ctx, q, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota counts", func() error {
		_, err := c.client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1") {
			return fmt.Errorf("create beyond the quota: %v", err)
		}
		return nil
	})
	_, err = c.client.CoreV1().LimitRanges(ns).Create(ctx, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{"cpu": *quantity(t, "200m")}, Max: corev1.ResourceList{"cpu": *quantity(t, "1")},
	}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := func(cpu string) (corev1.Pod, error) {
		_, _, body := c.do(t, "POST", "/api/v1/namespaces/"+ns+"/pods?dryRun=All", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"`+cpu+`}]}}`)
		var p corev1.Pod
		if strings.Contains(body, `"kind":"Status"`) {
			return p, fmt.Errorf("%s", body)
		}
		return p, json.Unmarshal([]byte(body), &p)
	}
	eventually(t, "the limit range gives defaults", func() error {
		p, err := pod("")
		if err == nil && p.Spec.Containers[0].Resources.Limits.Cpu().String() != "200m" {
			err = fmt.Errorf("limits are %v", p.Spec.Containers[0].Resources)
		}
		return err
	})
	if _, err := pod(`,"resources":{"limits":{"cpu":"2"}}`); err == nil || !strings.Contains(err.Error(), "maximum cpu usage per Container is 1, but limit is 2") {
		t.Errorf("beyond the maximum: %v", err)
	}
}
