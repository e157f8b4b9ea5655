package controllers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/client/clientset/versioned"
)

// testMetrics asks what kubectl top asks.
func testMetrics(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	client, err := versioned.NewForConfig(c.rest)
	check(t, err)
	c.create(t, ns, pod("busy"))
	c.create(t, ns, pod("other"))
	c.waitRunning(t, ns, "busy")
	c.waitRunning(t, ns, "other")

	eventually(t, "both pods to be sampled", func() (bool, string) {
		all, err := client.MetricsV1beta1().PodMetricses(ns).List(t.Context(), metav1.ListOptions{})
		check(t, err)
		return len(all.Items) == 2, fmt.Sprint(len(all.Items))
	})
	some, err := client.MetricsV1beta1().PodMetricses(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app=busy"})
	check(t, err)
	if len(some.Items) != 1 || some.Items[0].Name != "busy" || len(some.Items[0].Containers) != 1 {
		t.Fatalf("with a selector: %+v", some.Items)
	}
	if memory := some.Items[0].Containers[0].Usage[corev1.ResourceMemory]; memory.String() != "10Mi" {
		t.Errorf("memory %s", memory.String())
	}
	if _, err := client.MetricsV1beta1().PodMetricses(ns).Get(t.Context(), "none", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that doesn't exist: %v", err)
	}
	nodes, err := client.MetricsV1beta1().NodeMetricses().List(t.Context(), metav1.ListOptions{})
	check(t, err)
	if len(nodes.Items) != 3 {
		t.Errorf("%d nodes", len(nodes.Items))
	}
	if one, err := client.MetricsV1beta1().NodeMetricses().Get(t.Context(), "skiff-2", metav1.GetOptions{}); err != nil || one.Name != "skiff-2" {
		t.Errorf("one node: %v %v", one, err)
	}

	httpClient, err := rest.HTTPClientFor(c.rest)
	check(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.rest.Host+"/apis/metrics.k8s.io/v1beta1/namespaces/"+ns+"/pods", nil)
	check(t, err)
	req.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	res, err := httpClient.Do(req)
	check(t, err)
	defer res.Body.Close()
	var body strings.Builder
	_, err = fmt.Fprint(&body, res.Status, " ")
	check(t, err)
	check(t, res.Write(&body))
	if !strings.Contains(body.String(), `"columnDefinitions"`) {
		t.Errorf("as a table: %s", body.String())
	}
}
