// Package node is the agent that makes an engine a Kubernetes node: it watches the pods that were bound to the node, keeps a
// worker for each, adopts what a former process left, cleans up what nobody wants any more, and serves kubelet's HTTP API.
package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
	"skiff.local/skiff/runtime/pod"
	"skiff.local/skiff/runtime/stats"
	"skiff.local/skiff/runtime/stream"
)

// Engine is what the agent needs of the engine.
type Engine interface {
	pod.Engine
	image.Engine
	stats.Engine
	stream.Engine
	Events(ctx context.Context, opts docker.EventOptions) <-chan docker.Event
	Info(ctx context.Context) (*docker.EngineInfo, error)
	InspectNetwork(ctx context.Context, name string) (*docker.Network, error)
	DiskUsage(ctx context.Context) (*docker.DiskUsage, error)
	Features() docker.Features
}

// Config configures an Agent.
type Config struct {
	Engine Engine
	Client kubernetes.Interface
	// Informers deliver pods, services, ConfigMaps and Secrets. The agent registers what it needs in New and starts the
	// factory in Run; it may be shared and started before.
	Informers informers.SharedInformerFactory
	// NodeNames are the nodes whose pods this agent runs.
	NodeNames []string
	Profile   string
	// Network is the name of the engine's network for pods; it has to exist before a pod does.
	Network       string
	ClusterDNS    netip.Addr
	ClusterDomain string // "cluster.local" when empty
	// NodeImage is the reference of the helper image; see image.EnsureNode.
	NodeImage string
	// NodeIP is the pods' host IP, as in the node's status.
	NodeIP netip.Addr
	// Dial reaches the addresses of pods; nil dials directly.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// EndpointsSettled blocks until no Service sends traffic to the pod, which is being deleted, any more, or ctx ends. The
	// agent stops no container before. Nil: containers are stopped at once.
	EndpointsSettled func(ctx context.Context, pod *v1.Pod)
	// Isolate blocks until the NetworkPolicies of a pod with a new sandbox are in force. The agent starts no container
	// before. Nil: nothing to wait for.
	Isolate func(ctx context.Context, pod *v1.Pod, address netip.Addr)
	// Admit says why the node can't take a pod beside the others that it runs, in kubelet's words; an empty reason takes it. It is
	// asked once, before anything of the pod is made, and must not block. Nil takes every pod.
	Admit func(pod *v1.Pod, others []*v1.Pod) (reason, message string)
	// EndpointGone is told when nothing is left of a pod; optional.
	EndpointGone func(uid types.UID)
	// HostCredentials open registries for pods without pull secrets of their own; optional.
	HostCredentials image.Keyring
	Recorder        record.EventRecorder
	Logger          *slog.Logger
	// Parallel bounds how many containers the engine starts at a time, and how many it removes; 0 is DefaultParallel.
	Parallel int
	// Allocatable stands in for limits that pods don't set (downward API); the engine's capacity when nil.
	Allocatable v1.ResourceList
}

func (c *Config) validate() error {
	switch {
	case c.Engine == nil, c.Client == nil, c.Informers == nil:
		return errors.New("node: Engine, Client and Informers are required")
	case len(c.NodeNames) == 0, c.Profile == "", c.Network == "", c.NodeImage == "":
		return errors.New("node: NodeNames, Profile, Network and NodeImage are required")
	case c.Recorder == nil, c.Logger == nil:
		return errors.New("node: Recorder and Logger are required")
	}
	return nil
}
