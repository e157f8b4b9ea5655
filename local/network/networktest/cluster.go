// Package networktest runs a cluster's network on the real engine for tests: the relay, containers that serve and ask,
// and the objects that an API server would hold. It exists because the same checks are made over direct connections,
// over the relay and in benchmarks.
package networktest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/networktest/probeimage"
	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
	"skiff.local/skiff/runtime/runtimetest"
)

// A Cluster is a network under test.
type Cluster struct {
	T       testing.TB
	Engine  *docker.Engine
	Network *network.Network
	Client  *fake.Clientset
	Profile string
	Subnet  netip.Prefix
	// Started is how long EnsureRelay took.
	Started time.Duration

	node  string
	probe string
	stop  func()
}

// Options vary what is tested.
type Options struct {
	// Engine is the one to use; the machine's when nil.
	Engine       *docker.Engine
	ForceRelay   bool
	IngressPorts httpproxy.Ports
	// Nodes is how many nodes there are; one when 0.
	Nodes int
}

// Start brings up a network of its own, which is removed when the test ends.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	engine := o.Engine
	if engine == nil {
		engine = runtimetest.Connect(t)
	}
	c := &Cluster{T: t, Engine: engine, Profile: runtimetest.UniqueName("net"), Client: fake.NewClientset()}
	ctx := context.WithoutCancel(t.Context())
	var err error
	if c.node, err = image.EnsureNode(ctx, c.Engine); err != nil {
		t.Fatalf("load the helper image: %v", err)
	}
	c.probe = probeImage(t, c.Engine)
	for attempt := 0; ; attempt++ {
		if c.Subnet, err = network.ChooseSubnet(ctx, c.Engine); err != nil {
			t.Fatal(err)
		}
		c.New(o)
		t.Cleanup(func() {
			if err := network.Remove(ctx, c.Engine, c.Profile); errors.Is(err, docker.ErrLostCount) {
				t.Log(err) // nobody's fault here
			} else if err != nil {
				t.Errorf("remove the network: %v", err)
			}
		})
		begin := time.Now()
		err = c.Network.EnsureRelay(ctx, c.node)
		c.Started = time.Since(begin)
		if err == nil {
			break
		}
		// Another test on this engine may have taken the subnet a moment ago.
		if attempt == 3 {
			t.Fatal(err)
		}
	}
	c.Service(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: c.ServiceIP(1), ClusterIPs: []string{c.ServiceIP(1)},
			Ports: []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}},
		},
	})
	c.Slice("default", "kubernetes", []Port{{"https", network.RelayAPIPort, corev1.ProtocolTCP}}, Endpoint{IP: network.RelayAddr(c.Subnet).String()})
	c.Run()
	t.Cleanup(func() { c.Stop() })
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.Network.WaitDNS(wait); err != nil {
		t.Fatal(err)
	}
	return c
}

// New makes the daemon's half anew, as a daemon that starts does.
func (c *Cluster) New(o Options) {
	var log *slog.Logger
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(testWriter{c.T}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	c.Network, err = network.New(network.Config{
		Engine: c.Engine, Profile: c.Profile, Subnet: c.Subnet, ForceRelay: o.ForceRelay,
		IngressPorts: o.IngressPorts, Nodes: o.Nodes, Logger: log,
	})
	if err != nil {
		c.T.Fatal(err)
	}
}

// Ensure connects the daemon's half to the relay.
func (c *Cluster) Ensure() {
	c.T.Helper()
	if err := c.Network.EnsureRelay(context.WithoutCancel(c.T.Context()), c.node); err != nil {
		c.T.Fatal(err)
	}
}

// Run runs the daemon's half until Stop.
func (c *Cluster) Run() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.T.Context()))
	ended := make(chan struct{})
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	go func() {
		defer close(ended)
		c.Network.Run(ctx, network.Cluster{Client: c.Client, Informers: factory})
	}()
	c.stop = func() { cancel(); <-ended; factory.Shutdown() }
}

// Stop ends the daemon's half; the relay stays.
func (c *Cluster) Stop() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
	c.Network.Disconnect()
}

// ServiceIP is the nth address of the Service range.
func (c *Cluster) ServiceIP(n int) string { return after(network.ServiceRange(c.Subnet).Addr(), n) }

// PodIP is the nth address of the pods' range, whether or not a pod has it.
func (c *Cluster) PodIP(n int) string { return after(network.PodRange(c.Subnet).Addr(), n) }

func after(ip netip.Addr, n int) string {
	for range n {
		ip = ip.Next()
	}
	return ip.String()
}

// A Pod is a container of the test on the network.
type Pod struct {
	c    *Cluster
	ID   string
	IP   netip.Addr
	Name string
	// Object is nil for a container that is no pod.
	Object *corev1.Pod
}

// Serve starts a container with the probe's servers.
func (c *Cluster) Serve(name string) *Pod { return c.container(name, nil, "serve") }

// Publish starts a container like Serve whose ports the engine publishes on this machine, as the thing to compare with.
func (c *Cluster) Publish(name string, ports map[uint16]uint16) *Pod {
	var bindings []docker.PortBinding
	for inside, outside := range ports {
		bindings = append(bindings, docker.PortBinding{
			ContainerPort: inside, Protocol: "tcp", HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: outside,
		})
	}
	return c.container(name, bindings, "serve")
}

func (c *Cluster) container(name string, ports []docker.PortBinding, cmd ...string) *Pod {
	c.T.Helper()
	ctx := context.WithoutCancel(c.T.Context())
	id, err := c.Engine.CreateContainer(ctx, docker.ContainerSpec{
		Name: c.Profile + "-" + name, Image: c.probe, Entrypoint: append([]string{"/probe"}, cmd...), Hostname: name,
		Network: c.Network.Name(), Labels: docker.ProfileLabels(c.Profile, docker.RoleHelper), Ports: ports,
	})
	if err != nil {
		c.T.Fatal(err)
	}
	p := &Pod{c: c, ID: id, Name: name}
	c.T.Cleanup(p.Remove)
	if err := c.Engine.StartContainer(ctx, id); err != nil {
		c.T.Fatal(err)
	}
	info, err := c.Engine.InspectContainer(ctx, id)
	if err != nil {
		c.T.Fatal(err)
	}
	p.IP = info.IP(c.Network.Name())
	return p
}

// Remove kills and removes the container.
func (p *Pod) Remove() {
	_ = p.c.Engine.RemoveContainer(context.WithoutCancel(p.c.T.Context()), p.ID, docker.RemoveOptions{Force: true, Volumes: true})
}

// Probe runs a command of the probe in the container and returns its output.
func (p *Pod) Probe(args ...string) string {
	p.c.T.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.c.T.Context()), 60*time.Second)
	defer cancel()
	_, err := p.c.Engine.Exec(ctx, p.ID, docker.ExecSpec{Cmd: append([]string{"/probe"}, args...)}, docker.Streams{Stdout: &out, Stderr: &out})
	if err != nil {
		p.c.T.Fatalf("probe %v: %v", args, err)
	}
	return strings.TrimSpace(out.String())
}

func probeImage(t testing.TB, eng *docker.Engine) string {
	t.Helper()
	ref := "skiff.local/" + runtimetest.UniqueName("probe") + ":1"
	remove, err := probeimage.Load(t.Context(), eng, ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("remove the probe's image: %v", err)
		}
	})
	return ref
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	os.Stderr.Write(p)
	return len(p), nil
}

// Pod starts a pod as the node does: a pause container with the pod's labels, the probe's servers joined to its network,
// and a Pod object with its address.
func (c *Cluster) Pod(namespace, name string, labels map[string]string) *Pod {
	c.T.Helper()
	ctx := context.WithoutCancel(c.T.Context())
	identity := docker.Identity{
		Profile: c.Profile, Role: docker.RoleSandbox, Pod: name, Namespace: namespace, UID: c.Profile + "-" + name,
		Container: docker.SandboxContainer,
	}
	start := func(spec docker.ContainerSpec) string {
		id, err := c.Engine.CreateContainer(ctx, spec)
		if err != nil {
			c.T.Fatal(err)
		}
		c.T.Cleanup(func() {
			_ = c.Engine.RemoveContainer(ctx, id, docker.RemoveOptions{Force: true, Volumes: true})
		})
		if err := c.Engine.StartContainer(ctx, id); err != nil {
			c.T.Fatal(err)
		}
		return id
	}
	sandbox := start(docker.ContainerSpec{
		Name: identity.ContainerName(), Image: c.node, Hostname: name, Network: c.Network.Name(), Labels: identity.Labels(),
		CapAdd: []string{"NET_ADMIN"},
	})
	info, err := c.Engine.InspectContainer(ctx, sandbox)
	if err != nil {
		c.T.Fatal(err)
	}
	p := &Pod{c: c, Name: name, IP: info.IP(c.Network.Name())}
	p.ID = start(docker.ContainerSpec{
		Name: c.Profile + "-" + name, Image: c.probe, Entrypoint: []string{"/probe", "serve"},
		Network: docker.ContainerMode(sandbox), Labels: docker.ProfileLabels(c.Profile, docker.RoleHelper),
	})
	c.Namespace(namespace)
	p.Object = &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(identity.UID), Labels: labels},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: p.IP.String()},
	}
	if _, err := c.Client.CoreV1().Pods(namespace).Create(ctx, p.Object, metav1.CreateOptions{}); err != nil {
		c.T.Fatal(err)
	}
	return p
}
