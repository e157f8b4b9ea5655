package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/controllers/metrics"
	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/local/network"
	"skiff.local/skiff/runtime/image"
	"skiff.local/skiff/runtime/image/credential"
	"skiff.local/skiff/runtime/node"
)

// errNoNode answers requests to the node before it runs.
var errNoNode = errors.New("the node is still starting")

// pods are the node at work.
type pods struct {
	agent *node.Agent
	// leave ends the work and leaves the containers running.
	leave func()
}

// startNode runs the pods, once the relay can give them a network.
func (d *daemon) startNode(ctx context.Context, undo *stack) error {
	// The demo images come from the binary; a pod that needs one meanwhile is woken by the engine's event.
	go func() {
		if _, err := image.EnsureHello(ctx, d.engine); err != nil && ctx.Err() == nil {
			d.log.Warn("the demo images could not be loaded", "error", err)
		}
	}()

	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: d.client.CoreV1().Events("")})
	undo.push(func() error { events.Shutdown(); return nil })

	names := make([]string, 0, d.settings.Nodes)
	for _, n := range nodes.Numbered(d.profile.Name, d.settings.Nodes) {
		names = append(names, n.Name)
	}
	nodeObjects := d.api.Informers().Core().V1().Nodes().Lister()
	agent, err := node.New(node.Config{
		Engine: d.engine, Client: d.client, Informers: d.api.Informers(),
		NodeNames: names, Profile: d.profile.Name, Network: d.network.Name(),
		ClusterDNS: network.DNSAddr(d.settings.Subnet), ClusterDomain: clusterDomain,
		NodeImage: d.nodeImage, NodeIP: network.RelayAddr(d.settings.Subnet),
		Dial: d.network.DialContext,
		EndpointsSettled: func(ctx context.Context, pod *corev1.Pod) {
			if err := d.network.EndpointsSettled(ctx, pod.UID); err != nil {
				d.log.Warn("a pod is stopped while Services may still send to it", "pod", pod.Namespace+"/"+pod.Name, "error", err)
			}
		},
		Isolate: func(ctx context.Context, pod *corev1.Pod, address netip.Addr) {
			if err := d.network.Guard(ctx, pod, address); err != nil {
				d.log.Warn("a pod starts although its NetworkPolicies are not in force", "pod", pod.Namespace+"/"+pod.Name, "error", err)
			}
		},
		Admit: func(pod *corev1.Pod, others []*corev1.Pod) (reason, message string) {
			object, err := nodeObjects.Get(pod.Spec.NodeName)
			if err != nil {
				return "", "" // not seen yet: nothing is known against the pod
			}
			return nodes.Admit(object, pod, others)
		},
		HostCredentials: hostCredentials(d.log),
		Recorder:        events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: names[0]}),
		Logger:          d.log,
	})
	if err != nil {
		return err
	}
	d.api.SetKubelet(agent.Handler())

	agentCtx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	d.supervise(agentCtx, "the node", func(ctx context.Context) error {
		defer close(ended)
		return agent.Run(ctx)
	})
	p := &pods{agent: agent, leave: func() { cancel(); <-ended }}
	d.pods.Store(p)
	close(d.working)
	undo.push(func() error { p.leave(); return nil })
	return nil
}

// hostCredentials are those that the user's docker would use.
func hostCredentials(log *slog.Logger) image.Keyring {
	home, err := os.UserHomeDir()
	if err != nil {
		log.Warn("pods pull without the credentials of your docker configuration", "error", err)
		return nil
	}
	return credential.NewHost(os.Getenv, home, log)
}

// awaitNode returns the node when it runs: a verb that started the daemon asks before it does.
func (d *daemon) awaitNode(ctx context.Context) (*pods, error) {
	select {
	case <-d.working:
		return d.pods.Load(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", errNoNode, ctx.Err())
	}
}

// usage feeds metrics.k8s.io from samples that the node takes when it is asked.
type usage struct{ d *daemon }

// PodUsage implements metrics.Source.
func (u usage) PodUsage(ctx context.Context, pods []*corev1.Pod) (map[types.UID]metrics.PodUsage, error) {
	running := u.d.pods.Load()
	if running == nil {
		return nil, errNoNode
	}
	wanted := make(map[string]bool, len(pods))
	for _, p := range pods {
		wanted[string(p.UID)] = true
	}
	used := make(map[types.UID]metrics.PodUsage, len(pods))
	for _, p := range running.agent.Summary(ctx).Pods {
		if !wanted[p.PodRef.UID] {
			continue
		}
		pod := metrics.PodUsage{Window: sampleWindow}
		for _, c := range p.Containers {
			if c.CPU == nil || c.CPU.UsageNanoCores == nil || c.Memory == nil || c.Memory.WorkingSetBytes == nil {
				continue
			}
			pod.Time = c.CPU.Time.Time
			pod.Containers = append(pod.Containers, metrics.ContainerUsage{
				Name: c.Name, CPUNanos: *c.CPU.UsageNanoCores, Memory: *c.Memory.WorkingSetBytes,
			})
		}
		if len(pod.Containers) > 0 {
			used[types.UID(p.PodRef.UID)] = pod
		}
	}
	if len(used) == 0 && len(pods) > 0 {
		if counts, err := u.d.engine.CountsUsage(ctx); err == nil && !counts {
			return nil, apierrors.NewServiceUnavailable("the Docker Engine runs without cgroups, so nobody counts what containers use")
		}
	}
	return used, nil
}

// sampleWindow is what the samples' CPU rates are about averaged over: the engine measures for a second.
const sampleWindow = time.Second

func invalidBind(s string) error {
	return &client.Failure{Reason: client.ReasonInvalid, Message: fmt.Sprintf("--bind %q is no IP address", s), Hint: "write it like 0.0.0.0 or 192.168.1.10"}
}
