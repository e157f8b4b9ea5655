package node

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff.local/skiff/runtime/docker"
)

const patience = 40 * time.Second

var intstr80 = intstr.FromInt32(80)

func (c *cluster) configMap(name string, data map[string]string) {
	c.t.Helper()
	cm := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: data}
	if _, err := c.client.CoreV1().ConfigMaps("default").Create(context.Background(), cm, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) secret(name string, data map[string]string) {
	c.t.Helper()
	s := &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	if _, err := c.client.CoreV1().Secrets("default").Create(context.Background(), s, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func main(p *v1.Pod) *v1.Container { return &p.Spec.Containers[0] }

func script(p *v1.Pod, text string) { main(p).Command = []string{"/bin/sh", "-c", text} }

func status(p *v1.Pod, name string) v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, s := range list {
			if s.Name == name {
				return s
			}
		}
	}
	return v1.ContainerStatus{}
}

const forever = "trap 'exit 0' TERM; while true; do sleep 0.1; done"

// TestPods runs what doesn't interfere side by side on one node.
func TestPods(t *testing.T) {
	c := newCluster(t)
	for _, s := range []*v1.Service{{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"},
		Spec:       v1.ServiceSpec{ClusterIP: "10.244.128.1", Ports: []v1.ServicePort{{Name: "https", Port: 443}}},
	}, {
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"},
		Spec:       v1.ServiceSpec{ClusterIP: "10.244.128.7", Ports: []v1.ServicePort{{Port: 5432}}},
	}} {
		if _, err := c.client.CoreV1().Services("default").Create(context.Background(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.configMap("settings", map[string]string{"colour": "blue", "nginx.conf": "server {}"})
	c.configMap("colours", map[string]string{"colour": "blue"})
	c.secret("keys", map[string]string{"password": "hunter2"})
	c.configMap("kube-root-ca.crt", map[string]string{"ca.crt": "CERT"})
	c.run()
	t.Run("group", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *cluster){
			"environment": testEnvironment, "service links": testServiceLinks, "volumes": testVolumes, "crash": testCrash, "init": testInit, "sidecar": testSidecar,
			"liveness": testLiveness, "readiness": testReadiness, "completion": testCompletion, "failure": testFailure,
			"missing": testMissingConfigMap, "no image": testMissingImage, "security": testSecurity, "shared": testSharedNamespaces,
			"hooks": testHooks, "start error": testStartError, "deadline": testDeadline, "ephemeral": testEphemeral,
			"oom": testOOM, "subpath": testSubPath,
		} {
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				test(t, c.in(t))
			})
		}
	})
}

func TestMorePods(t *testing.T) {
	c := newCluster(t)
	c.run()
	t.Run("group", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *cluster){
			"names": testNames, "dns": testDNS, "host-namespaces": testHostNamespaces, "claim": testClaim,
			"force": testForceDelete, "starting": testDeleteWhileStarting, "gate": testReadinessGate, "restart-policy": testOnFailure,
			"image-update": testImageUpdate, "guaranteed": testGuaranteed, "tcp-probe": testTCPProbe,
			"exec-probe-timeout": testExecProbeTimeout, "post-start-fails": testPostStartFails, "post-start-kinds": testPostStartKinds, "unmakeable": testUnmakeable, "evict": testEvict,
			"resize": testResize, "scores": testScores, "pod-resources": testPodResources, "working-set": testWorkingSet, "size-limit": testSizeLimit, "start-over": testStartOver, "sidecar-start-over": testStartOverOfASidecar, "fields": testEnvFile,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, c.in(t))
			})
		}
	})
}

// in is the cluster for a test within the test.
func (c *cluster) in(t *testing.T) *cluster {
	inner := *c
	inner.t = t
	return &inner
}

// untilExec waits until a command in a container prints want.
func (c *cluster) untilExec(pod, container, want string, command ...string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := c.exec(pod, container, command...)
		if strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%v in container %s of pod %s prints no %q:\n%s", command, container, pod, want, got)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// untilWhy waits until a pod's worker says that it waits for a reason.
func (c *cluster) untilWhy(pod, reason string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		why, _ := c.agent.Why("default", pod)
		if len(why.Waits) > 0 && why.Waits[0].Reason == reason {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("pod %s doesn't wait for %s: %+v", pod, reason, why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// containerOf inspects the main container of a pod that was made for one restart.
func (c *cluster) containerOf(pod string, attempt int) *docker.Container {
	c.t.Helper()
	list, err := c.engine.ListContainers(context.Background(), docker.ListOptions{Labels: map[string]string{docker.LabelProfile: c.profile}})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, k := range list {
		if id, ok := docker.ParseIdentity(k.Labels); ok && id.Pod == pod && id.Container == "main" && id.Attempt == attempt {
			found, err := c.engine.InspectContainer(context.Background(), k.ID)
			if err != nil {
				c.t.Fatal(err)
			}
			return found
		}
	}
	c.t.Fatalf("pod %s has no container of attempt %d", pod, attempt)
	return nil
}

func (c *cluster) untilEvent(pod, text string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(c.eventsOf(pod), text) {
		if time.Now().After(deadline) {
			c.t.Fatalf("no event %q in\n%s", text, c.eventsOf(pod))
		}
		time.Sleep(50 * time.Millisecond)
	}
}
