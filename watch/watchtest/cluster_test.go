package watchtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/apiserver"
	"skiff.local/skiff/local/apiserver/pki"
	"skiff.local/skiff/local/controllers"
	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/local/store"
)

// shared is the control plane of all tests; each test has namespaces of its own.
var shared struct {
	rest    *rest.Config
	client  kubernetes.Interface
	dynamic dynamic.Interface
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	dir, err := os.MkdirTemp("", "watchtest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	stop, err := startCluster(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the control plane:", err)
		return 1
	}
	defer stop()
	return m.Run()
}

func startCluster(dir string) (stop func(), err error) {
	bundle, err := pki.Ensure(filepath.Join(dir, "pki"), pki.Options{})
	if err != nil {
		return nil, err
	}
	db, err := store.Open(store.Options{Path: filepath.Join(dir, "state")})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	quiet := slog.New(slog.DiscardHandler)
	server, err := apiserver.New(ctx, apiserver.Config{
		Store: db, Listener: listener, PKI: bundle,
		ServiceSubnet: netip.MustParsePrefix("10.244.128.0/17"), ClusterDNS: netip.MustParseAddr("10.244.128.10"),
		Reachable: netip.MustParseAddrPort("10.244.127.254:6443"), Kubelet: http.HandlerFunc(serveLogs), Logger: quiet,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		cancel()
		return nil, err
	}
	registry, err := nodes.New(nodes.Config{
		Client: server.Client(), Profile: "test", Nodes: nodes.Numbered("skiff", 1), IP: netip.MustParseAddr("10.244.0.1"), KubernetesVersion: "v1.36.3",
		Engine: nodes.Engine{ID: "T", Version: "20.10", OS: "linux", OSImage: "Test", Architecture: "amd64", Kernel: "6", CPUs: 8, Memory: 32 << 30, Storage: 100 << 30},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	kubelet := &fakeKubelet{client: server.Client()}
	if _, err := server.Informers().Core().V1().Pods().Informer().AddEventHandler(kubelet.handler()); err != nil {
		cancel()
		return nil, err
	}
	running, err := controllers.Start(ctx, controllers.Config{
		RESTConfig: server.LoopbackConfig(), Informers: server.Informers(), RootCA: bundle.CA.Cert,
		CACertFile: bundle.CA.CertFile, CAKeyFile: bundle.CA.KeyFile, ServiceAccountKey: bundle.ServiceAccountKey, Profile: "test", Logger: quiet,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	if err := registry.Register(ctx); err != nil {
		cancel()
		return nil, err
	}
	<-running.Synced()
	// The tests come through the front door, as a person does: TLS and the administrator's certificate.
	shared.rest = &rest.Config{Host: "https://" + listener.Addr().String(), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: bundle.CA.Cert, CertData: bundle.Admin.Cert, KeyData: bundle.Admin.Key}}
	shared.client, shared.dynamic = kubernetes.NewForConfigOrDie(shared.rest), dynamic.NewForConfigOrDie(shared.rest)
	return func() {
		cancel()
		running.Wait()
		_ = server.Stop()
		_ = db.Close()
	}, nil
}

// fakeKubelet makes of a pod what the image's name says: crash ends with code 3 again and again, missing can't be pulled,
// slow takes half a second to be ready, anything else runs.
type fakeKubelet struct {
	client kubernetes.Interface
	ip     atomic.Int64
}

func (k *fakeKubelet) handler() cache.ResourceEventHandlerFuncs {
	handle := func(obj any) {
		if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
			go k.sync(pod.DeepCopy())
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: handle, UpdateFunc: func(_, obj any) { handle(obj) }}
}

func (k *fakeKubelet) sync(pod *corev1.Pod) {
	ctx, pods := context.Background(), k.client.CoreV1().Pods(pod.Namespace)
	if pod.DeletionTimestamp != nil {
		_ = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		return
	}
	if len(pod.Status.ContainerStatuses) > 0 {
		return
	}
	image := pod.Spec.Containers[0].Image
	now, n := metav1.Now(), k.ip.Add(1)
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
	pod.Status.PodIP = fmt.Sprintf("10.244.%d.%d", 1+n/250, n%250+1)
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	status := corev1.ContainerStatus{Name: pod.Spec.Containers[0].Name, Image: image, ImageID: "sha256:test", Started: ptr.To(true)}
	ready := corev1.ConditionTrue
	switch {
	case strings.HasPrefix(image, "crash"):
		ready, status.RestartCount = corev1.ConditionFalse, 2
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s restarting failed container"}
		status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error", FinishedAt: now}
	case strings.HasPrefix(image, "missing"):
		ready, pod.Status.Phase = corev1.ConditionFalse, corev1.PodPending
		status.Started = ptr.To(false)
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "` + image + `"`}
	default:
		if strings.HasPrefix(image, "slow") {
			time.Sleep(500 * time.Millisecond)
		}
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
		if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
			pod.Status.Phase, ready, status.State = corev1.PodSucceeded, corev1.ConditionFalse,
				corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 0, Reason: "Completed", FinishedAt: now}}
		}
	}
	status.Ready = ready == corev1.ConditionTrue
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: ready, LastTransitionTime: now})
	}
	_, _ = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
}

// serveLogs answers the kubelet's log requests.
func serveLogs(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/containerLogs/") {
		http.NotFound(w, r)
		return
	}
	fmt.Fprintf(w, "starting\npanic: no database at db:5432\n")
}
