package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"skiff.local/skiff/local/apiserver"
	"skiff.local/skiff/local/apiserver/pki"
	"skiff.local/skiff/local/controllers"
	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/local/store"
)

// cluster is a control plane in this process with a fake kubelet below it.
type cluster struct {
	client  kubernetes.Interface
	rest    *rest.Config
	nodes   *nodes.Registry
	volumes *fakeVolumes
	usage   *fakeUsage
	kubelet *fakeKubelet
	stop    func() // may be called more than once
	// How long Start took, and from there until all caches were filled, also in CPU time.
	made, ready, readyCPU time.Duration
}

var testEngine = nodes.Engine{
	ID: "TEST:ENGINE", Version: "20.10.24", OS: "linux", OSImage: "Test Linux", Architecture: "amd64", Kernel: "6.1.0",
	CPUs: 8, Memory: 32 << 30, Storage: 100 << 30,
}

// startCluster starts a cluster of three nodes (skiff, skiff-2, skiff-3) that lives as long as the test.
func startCluster(t testing.TB) *cluster {
	t.Helper()
	return startClusterIn(t, t.TempDir(), newFakeVolumes())
}

// startClusterIn starts a cluster on what is in a directory.
func startClusterIn(t testing.TB, dir string, volumes *fakeVolumes) *cluster {
	t.Helper()
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	bundle, err := pki.Ensure(dir, pki.Options{})
	check(t, err)
	db, err := store.Open(store.Options{Path: filepath.Join(dir, "state")})
	check(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	server, err := apiserver.New(ctx, apiserver.Config{
		Store:         db,
		Listener:      listener,
		PKI:           bundle,
		ServiceSubnet: netip.MustParsePrefix("10.244.128.0/17"),
		ClusterDNS:    netip.MustParseAddr("10.244.128.10"),
		Reachable:     netip.MustParseAddrPort("10.244.127.254:6443"),
		Logger:        slog.New(slog.DiscardHandler),
	})
	check(t, err)
	check(t, server.Start(ctx))

	c := &cluster{client: server.Client(), rest: server.LoopbackConfig(), volumes: volumes, usage: &fakeUsage{}}
	metricsAPI := newMetricsAPI(t, c.usage, server.Informers())
	c.rest.Transport = divert{prefix: "/apis/metrics.k8s.io/", to: metricsAPI, rest: c.rest.Transport}
	c.nodes, err = nodes.New(nodes.Config{
		Client: c.client, Profile: "test", Engine: testEngine, Nodes: nodes.Numbered("skiff", 3),
		IP: netip.MustParseAddr("10.244.0.1"), KubernetesVersion: "v1.36.3",
	})
	check(t, err)
	c.kubelet = newFakeKubelet(c.client, server.Informers())

	begin, used := time.Now(), cpuTime(t)
	running, err := controllers.Start(ctx, controllers.Config{
		RESTConfig:        c.rest,
		Informers:         server.Informers(),
		RootCA:            bundle.CA.Cert,
		CACertFile:        bundle.CA.CertFile,
		CAKeyFile:         bundle.CA.KeyFile,
		ServiceAccountKey: bundle.ServiceAccountKey,
		Volumes:           c.volumes,
		Profile:           "test",
		Logger:            slog.New(slog.DiscardHandler),
	})
	check(t, err)
	c.made = time.Since(begin)
	c.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := errors.Join(server.Stop(), db.Close()); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	t.Cleanup(c.stop)
	check(t, c.nodes.Register(ctx))
	select {
	case <-running.Synced():
	case <-time.After(30 * time.Second):
		t.Fatal("the controllers did not sync")
	}
	c.ready, c.readyCPU = time.Since(begin), cpuTime(t)-used
	t.Logf("controllers made in %s, synced after %s", c.made.Round(time.Millisecond), c.ready.Round(time.Millisecond))
	return c
}

// namespace makes a namespace for one test, named after it.
func (c *cluster) namespace(t *testing.T) string {
	t.Helper()
	ns, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}, metav1.CreateOptions{})
	check(t, err)
	eventually(t, "a default ServiceAccount", func() (bool, string) {
		_, err := c.client.CoreV1().ServiceAccounts(ns.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
	return ns.Name
}

// eventually waits until what holds. The condition also returns what it saw, for the message of a failure.
func eventually(t testing.TB, what string, condition func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, saw := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s; last seen: %s", what, saw)
		}
		<-tick.C
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// divert sends the requests for one path elsewhere.
type divert struct {
	prefix string
	to     http.RoundTripper
	rest   http.RoundTripper
}

func (d divert) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(r.URL.Path) >= len(d.prefix) && r.URL.Path[:len(d.prefix)] == d.prefix {
		return d.to.RoundTrip(r)
	}
	return d.rest.RoundTrip(r)
}

// fakeVolumes are an engine's volumes in memory.
type fakeVolumes struct {
	mu    sync.Mutex
	names map[string]map[string]string
	fail  error
}

func newFakeVolumes() *fakeVolumes { return &fakeVolumes{names: make(map[string]map[string]string)} }

func (f *fakeVolumes) CreateVolume(_ context.Context, name string, labels map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.names[name] = labels
	return nil
}

func (f *fakeVolumes) RemoveVolume(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.names, name)
	return nil
}

func (f *fakeVolumes) has(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.names[name]
	return ok
}

func (f *fakeVolumes) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.names)
}
