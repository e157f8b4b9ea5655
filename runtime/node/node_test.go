package node

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	authenticationv1 "k8s.io/api/authentication/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

// cluster is a node on the real engine with an API server in memory.
type cluster struct {
	t       testing.TB
	engine  *docker.Engine
	client  *fake.Clientset
	profile string
	image   string
	network string
	node    string   // helper image
	images  []string // made for this cluster
	config  Config
	// lookPeriod shortens the pause between looks for pressure.
	lookPeriod time.Duration

	agent *Agent
	stop  context.CancelFunc
	done  chan struct{}

	mu     *sync.Mutex
	events *[]string
}

const testNode = "skiff"

func newCluster(t testing.TB) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	engine, err := docker.Connect(context.Background(), docker.Options{})
	if err != nil {
		t.Fatalf("these tests need a Docker Engine: %v", err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return newClusterOn(t, engine, busyboxImage(t, engine))
}

// newClusterOn is newCluster on an engine of the test's choice.
func newClusterOn(t testing.TB, engine *docker.Engine, appImage string) *cluster {
	t.Helper()
	ctx := context.Background()
	node, err := image.EnsureNode(ctx, engine)
	if err != nil {
		t.Fatalf("the helper image (make node): %v", err)
	}
	var suffix [4]byte
	_, _ = rand.Read(suffix[:])
	c := &cluster{t: t, engine: engine, client: newClient(), profile: "t-pod-" + hex.EncodeToString(suffix[:]), node: node, mu: &sync.Mutex{}, events: new([]string)}
	c.network = docker.NetworkName(c.profile)
	c.image = appImage
	if _, err := engine.CreateNetwork(ctx, docker.NetworkSpec{Name: c.network, Labels: docker.ProfileLabels(c.profile, docker.RoleNetwork)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.cleanUp)
	c.config = Config{
		Engine: engine, Client: c.client, NodeNames: []string{testNode}, Profile: c.profile, Network: c.network, NodeImage: node,
		ClusterDNS: netip.MustParseAddr("10.244.128.10"), NodeIP: netip.MustParseAddr("10.244.0.1"),
		Recorder: c, Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return c
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if os.Getenv("SKIFF_TEST_LOG") != "" {
		fmt.Fprint(os.Stderr, string(p))
	}
	return len(p), nil
}

// newClient is an API server in memory that gives tokens and, like the real one, only marks a pod for deletion first.
func newClient() *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "serviceaccounts", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "token" {
			return false, nil, nil
		}
		return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{
			Token: "token.of.the-pod", ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour)),
		}}, nil
	})
	return client
}

func (c *cluster) Event(object runtime.Object, kind, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ref, _ := object.(*v1.ObjectReference)
	*c.events = append(*c.events, fmt.Sprintf("%s %s %s: %s", ref.Name, kind, reason, message))
}

func (c *cluster) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	c.Event(object, kind, reason, fmt.Sprintf(format, args...))
}

func (c *cluster) AnnotatedEventf(object runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	c.Event(object, kind, reason, fmt.Sprintf(format, args...))
}

func (c *cluster) eventsOf(pod string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, e := range *c.events {
		if strings.HasPrefix(e, pod+" ") {
			out = append(out, e)
		}
	}
	return strings.Join(out, "\n")
}

// run starts the agent; stopAgent ends it as a killed daemon would.
func (c *cluster) run() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.config.Informers = informers.NewSharedInformerFactory(c.client, 0)
	agent, err := New(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	agent.lookPeriod = cmp.Or(c.lookPeriod, agent.lookPeriod)
	c.agent, c.stop, c.done = agent, cancel, make(chan struct{})
	go func() {
		defer close(c.done)
		if err := agent.Run(ctx); err != nil && ctx.Err() == nil {
			c.t.Errorf("agent: %v", err)
		}
	}()
}

func (c *cluster) stopAgent() {
	if c.stop != nil {
		c.stop()
		<-c.done
		c.stop = nil
	}
}

func (c *cluster) cleanUp() {
	c.stopAgent()
	ctx := context.Background()
	list, err := c.engine.ListContainers(ctx, docker.ListOptions{Labels: map[string]string{docker.LabelProfile: c.profile}})
	if err != nil {
		c.t.Error(err)
	}
	for _, k := range list {
		_ = c.engine.RemoveContainer(ctx, k.ID, docker.RemoveOptions{Force: true, Volumes: true})
	}
	volumes, _ := c.engine.ListVolumes(ctx, map[string]string{docker.LabelProfile: c.profile})
	for _, v := range volumes {
		_ = c.engine.RemoveVolume(ctx, v.Name, true)
	}
	for _, ref := range c.images {
		if err := c.engine.RemoveImage(ctx, ref, docker.RemoveImageOptions{}); err != nil {
			c.t.Error(err)
		}
	}
	if err := c.engine.RemoveNetwork(ctx, c.network); errors.Is(err, docker.ErrLostCount) {
		c.t.Log(err) // nobody's fault here
	} else if err != nil {
		c.t.Error(err)
	}
}

// info describes the engine.
func (c *cluster) info() *docker.EngineInfo {
	c.t.Helper()
	info, err := c.engine.Info(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return info
}

// needsCgroups skips the test on an engine that has none: a rootless one where systemd does not delegate them.
func (c *cluster) needsCgroups() {
	c.t.Helper()
	if !c.info().HasCgroups() {
		c.t.Skip("the engine runs without cgroups")
	}
}

// needsRoute skips the test where pods' addresses can't be dialled: the daemon has its relay for that, the agent alone nothing.
func (c *cluster) needsRoute() {
	c.t.Helper()
	if c.info().Rootless {
		c.t.Skip("a rootless engine's pods can't be dialled from here")
	}
}

func (c *cluster) pod(name string, change func(*v1.Pod)) *v1.Pod {
	grace, links := int64(2), true
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name + "-" + c.profile), Labels: map[string]string{"app": name}},
		Spec: v1.PodSpec{
			NodeName: testNode, RestartPolicy: v1.RestartPolicyAlways, DNSPolicy: v1.DNSClusterFirst,
			TerminationGracePeriodSeconds: &grace, EnableServiceLinks: &links, SecurityContext: &v1.PodSecurityContext{},
			Containers: []v1.Container{c.container("main", "trap 'exit 0' TERM; while true; do sleep 0.1; done")},
		},
	}
	if change != nil {
		change(p)
	}
	created, err := c.client.CoreV1().Pods(p.Namespace).Create(context.Background(), p, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return created
}

func (c *cluster) container(name, script string) v1.Container {
	return v1.Container{
		Name: name, Image: c.image, ImagePullPolicy: v1.PullIfNotPresent, Command: []string{"/bin/sh", "-c", script},
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: v1.TerminationMessageReadFile,
	}
}

func (c *cluster) get(name string) *v1.Pod {
	p, err := c.client.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return p
}

// until waits for a condition of the pod's object.
func (c *cluster) until(name, what string, within time.Duration, ok func(*v1.Pod) bool) *v1.Pod {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	watcher, err := c.client.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer watcher.Stop()
	for {
		if p := c.get(name); ok(p) {
			return p
		}
		select {
		case <-watcher.ResultChan():
		case <-ctx.Done():
			p := c.get(name)
			why, _ := c.agent.Why("default", name)
			status := ""
			if p != nil {
				status = fmt.Sprintf("%+v", p.Status)
			}
			c.t.Fatalf("pod %s is not %s after %v\nstatus: %s\nwhy: %+v\nevents:\n%s", name, what, within, status, why, c.eventsOf(name))
		}
	}
}

func ready(p *v1.Pod) bool {
	if p == nil {
		return false
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == v1.PodReady {
			return cond.Status == v1.ConditionTrue
		}
	}
	return false
}

func phase(want v1.PodPhase) func(*v1.Pod) bool {
	return func(p *v1.Pod) bool { return p != nil && p.Status.Phase == want }
}

func gone(p *v1.Pod) bool { return p == nil }

// remove deletes a pod gracefully, as the API server would: the object stays until the node releases it.
func (c *cluster) remove(name string, grace int64) {
	c.t.Helper()
	p := c.get(name)
	at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second))
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	if _, err := c.client.CoreV1().Pods(p.Namespace).Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) exec(name, container string, command ...string) string {
	c.t.Helper()
	p := c.get(name)
	k, ok := view{c.agent}.Container(p, container, false)
	if !ok {
		c.t.Fatalf("no container %s in pod %s", container, name)
	}
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// Both streams into one buffer: it must not read from them by itself.
	plain := struct{ io.Writer }{&out}
	if _, err := c.engine.Exec(ctx, k.ID, docker.ExecSpec{Cmd: command}, docker.Streams{Stdout: plain, Stderr: plain}); err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// left lists what the engine still has of the cluster.
func (c *cluster) left() []string {
	var out []string
	list, err := c.engine.ListContainers(context.Background(), docker.ListOptions{Labels: map[string]string{docker.LabelProfile: c.profile}})
	if err != nil {
		out = append(out, "perhaps containers: "+err.Error())
	}
	for _, k := range list {
		out = append(out, k.Name+" "+string(k.Status))
	}
	volumes, err := c.engine.ListVolumes(context.Background(), map[string]string{docker.LabelProfile: c.profile})
	if err != nil {
		out = append(out, "perhaps volumes: "+err.Error())
	}
	for _, v := range volumes {
		out = append(out, "volume "+v.Name)
	}
	return out
}

func (c *cluster) untilNothingLeft() {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := c.left()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("left on the engine: %v", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
