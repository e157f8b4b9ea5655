package apiserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"skiff.local/skiff/local/store"
)

// restart stops c and starts another server on what it left.
func restart(t *testing.T, c *testCluster, dir string) *testCluster {
	t.Helper()
	stop(t, c)
	again, err := startCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func stop(t *testing.T, c *testCluster) {
	t.Helper()
	c.http.CloseIdleConnections()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.cfg.Store.(*store.Store).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestARestartFindsEverythingAsItWas(t *testing.T) {
	dir := t.TempDir()
	c, err := startCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	service := func(name string) (*corev1.Service, error) {
		return c.client.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	}
	before, err := service("before")
	if err != nil {
		t.Fatal(err)
	}
	if code, _, body := c.do(t, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crontabs); code != 201 {
		t.Fatal(code, body)
	}
	eventually(t, "the custom resource is served", func() error {
		code, _, body := c.do(t, "POST", "/apis/stable.example.com/v1/namespaces/default/crontabs", `{"apiVersion":"stable.example.com/v1","kind":"CronTab","metadata":{"name":"x"},"spec":{"cronSpec":"* * * * 5"}}`)
		if code != 201 {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	rv := before.ResourceVersion

	c = restart(t, c, dir)
	defer stop(t, c)
	// WaitReady has passed, so custom resources are served at the first request.
	if code, _, body := c.do(t, "GET", "/apis/stable.example.com/v1/namespaces/default/crontabs/x", ""); code != 200 {
		t.Errorf("custom resource after the restart: %d %s", code, body)
	}
	after, err := service("after")
	if err != nil {
		t.Fatal(err)
	}
	if after.Spec.ClusterIP == before.Spec.ClusterIP || after.Spec.Ports[0].NodePort == before.Spec.Ports[0].NodePort {
		t.Errorf("two services share an address or port: %v and %v", before.Spec, after.Spec)
	}
	_, err = c.client.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "thief"}, Spec: corev1.ServiceSpec{ClusterIP: before.Spec.ClusterIP, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	if err == nil || !strings.Contains(err.Error(), "provided IP is already allocated") {
		t.Errorf("a service took an address in use: %v", err)
	}
	w, err := c.client.CoreV1().Services("default").Watch(ctx, metav1.ListOptions{ResourceVersion: rv})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	select {
	case e := <-w.ResultChan():
		if s, ok := e.Object.(*corev1.Service); !ok || s.Name != "after" {
			t.Errorf("a watch from before the restart saw %v", e.Object)
		}
	case <-time.After(10 * time.Second):
		t.Error("a watch from before the restart saw nothing")
	}
}

// A 404 for what is stored would be acted on: the garbage collector deletes what a custom resource owns when its owner is
// not found.
func TestCustomResourcesAreUnavailableAndNotMissingUntilTheyAreServed(t *testing.T) {
	s, err := makeServer(t.Context(), t.TempDir(), false, func(*Config) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.cfg.Store.(*store.Store).Close()
	s.loop.serve(s.front.GenericAPIServer.Handler) // and no more of what Start does
	config := s.LoopbackConfig()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(config.Host + "/apis/stable.example.com/v1/namespaces/default/crontabs/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		body, _ := io.ReadAll(resp.Body)
		t.Errorf("%s %v %s, want 503 and when to ask again", resp.Status, resp.Header, body)
	}
}

func TestAStopEndsWatchesAtOnce(t *testing.T) {
	dir := t.TempDir()
	c, err := startCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w, err := c.client.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
	}
	begin := time.Now()
	stop(t, c)
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("stopping with open watches took %s", took)
	}
	if _, err := net.DialTimeout("tcp", c.cfg.Listener.Addr().String(), time.Second); err == nil {
		t.Error("the stopped server still listens")
	}
}

// TestStartStopsWithItsContext: a hook of Kubernetes' ends the process when it is cancelled in its first moments.
func TestStartStopsWithItsContext(t *testing.T) {
	s, err := makeServer(t.Context(), t.TempDir(), false, func(*Config) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	done := make(chan error, 1)
	go func() { done <- s.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server did not stop with its context")
	}
}

func TestANewClusterHasWhatEveryClusterHas(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	for _, ns := range systemNamespaces() {
		if _, err := c.client.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	if err := c.client.CoreV1().Namespaces().Delete(ctx, "kube-system", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("delete kube-system: %v, want 403", err)
	}
	for name, addr := range map[string]string{"default/kubernetes": "10.244.128.1", "kube-system/kube-dns": "10.244.128.10"} {
		ns, name, _ := strings.Cut(name, "/")
		s, err := c.client.CoreV1().Services(ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil || s.Spec.ClusterIP != addr {
			t.Errorf("service %s: %v, %v", name, s.Spec.ClusterIP, err)
		}
		eventually(t, "the endpoints of "+name+" are published", func() error {
			slice, err := c.client.DiscoveryV1().EndpointSlices(ns).Get(ctx, name, metav1.GetOptions{})
			if err == nil && fmt.Sprint(slice.Endpoints[0].Addresses) != "[10.244.127.254]" {
				err = fmt.Errorf("%v", slice.Endpoints)
			}
			return err
		})
	}
	eventually(t, "the default objects exist", func() error {
		if _, err := c.client.NetworkingV1().ServiceCIDRs().Get(ctx, "kubernetes", metav1.GetOptions{}); err != nil {
			return err
		}
		if _, err := c.client.SchedulingV1().PriorityClasses().Get(ctx, "system-node-critical", metav1.GetOptions{}); err != nil {
			return err
		}
		if _, err := c.client.RbacV1().ClusterRoleBindings().Get(ctx, "cluster-admin", metav1.GetOptions{}); err != nil {
			return err
		}
		_, err := c.client.CoreV1().ConfigMaps("kube-system").Get(ctx, "extension-apiserver-authentication", metav1.GetOptions{})
		return err
	})
}
