// Package pod keeps one pod as its API object says: a worker observes the pod's containers, has package plan decide, and
// executes what the plan says. There is one worker per pod, a goroutine that owns all state of the pod; it is woken by
// changes of the API object, the engine's events, the results of what it started, and its own timers. It never polls.
//
// Operations run beside the worker and report back to it, so that a long pull or a slow stop keeps nothing else waiting and
// everything that doesn't depend on the last step overlaps with it.
package pod

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/spec"
	"skiff.local/skiff/runtime/volume"
)

// Engine is what a worker needs of the engine.
type Engine interface {
	CreateContainer(ctx context.Context, spec docker.ContainerSpec) (string, error)
	StartContainer(ctx context.Context, id string) error
	StopContainer(ctx context.Context, id string, opts docker.StopOptions) error
	KillContainer(ctx context.Context, id, signal string) error
	RemoveContainer(ctx context.Context, id string, opts docker.RemoveOptions) error
	InspectContainer(ctx context.Context, id string) (*docker.Container, error)
	ListContainers(ctx context.Context, opts docker.ListOptions) ([]docker.ContainerSummary, error)
	WaitContainer(ctx context.Context, id string, until docker.WaitCondition) (int, error)
	UpdateResources(ctx context.Context, id string, r docker.Resources) error
	Exec(ctx context.Context, containerID string, spec docker.ExecSpec, streams docker.Streams) (int, error)
	Attach(ctx context.Context, containerID string, streams docker.Streams) error
	Logs(ctx context.Context, containerID string, opts docker.LogOptions, stdout, stderr io.Writer) error
	CopyTo(ctx context.Context, containerID, dir string, tar io.Reader, opts docker.CopyOptions) error
	CopyFrom(ctx context.Context, containerID, path string) (io.ReadCloser, docker.FileStat, error)
	CreateVolume(ctx context.Context, spec docker.VolumeSpec) (*docker.Volume, error)
	InspectVolume(ctx context.Context, name string) (*docker.Volume, error)
	ListVolumes(ctx context.Context, labels map[string]string) ([]docker.Volume, error)
	RemoveVolume(ctx context.Context, name string, force bool) error
	Info(ctx context.Context) (*docker.EngineInfo, error)
}

// An Image is what a container's image turned out to be.
type Image struct {
	ID   string // of the image in the engine
	User string // that the image sets
	// Note tells a person how it was found: pulled, or already there.
	Note string
}

// Images finds the image of a container, by its pull policy. Errors that carry a reason (ErrImagePull, ErrImageNeverPull,
// InvalidImageName…) implement Reasoned.
type Images interface {
	Ensure(ctx context.Context, pod *v1.Pod, container *v1.Container, notify func(warning bool, reason, message string)) (Image, error)
}

// Reasoned is an error with the word that Kubernetes has for it.
type Reasoned interface {
	error
	Reason() string
}

// Objects is what a worker reads from the API.
type Objects interface {
	spec.Objects
	volume.Claims
	// Token asks for a token of the pod's service account.
	Token(ctx context.Context, pod *v1.Pod, source *v1.ServiceAccountTokenProjection) (token string, expires time.Time, err error)
	// RuntimeHandler is what the RuntimeClass of that name stands for.
	RuntimeHandler(ctx context.Context, class string) (string, error)
	TrustBundle(ctx context.Context, source *v1.ClusterTrustBundleProjection) ([]byte, error)
}

// Config is what the workers of a node share.
type Config struct {
	Engine   Engine
	Images   Images
	Objects  Objects
	Client   kubernetes.Interface
	Recorder record.EventRecorder
	Spec     spec.Config
	HostIPs  []string
	// HostAddress is where servers of pods on the host's network can be reached with Dial; the host IP when empty.
	HostAddress string
	// Dial reaches the addresses of pods.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// EndpointsSettled returns when no Service sends traffic to the pod any more, or when ctx ends; nil: nothing to wait for.
	EndpointsSettled func(ctx context.Context, pod *v1.Pod)
	// Isolate returns when the NetworkPolicies of a pod with a new sandbox are in force, or when it can't be helped; no
	// container starts before. Nil: there are none.
	Isolate func(ctx context.Context, pod *v1.Pod, address netip.Addr)
	Logger  *slog.Logger
	// Starts, Stops, Removals and Detachments (the ends of sandboxes) bound how many of them the engine is asked for at a time,
	// over all pods; nil for no bound. A stop that takes its time keeps nobody waiting for long.
	Starts, Stops, Removals, Detachments *Slots

	oom oomProbe
}

// Validate reports what is missing.
func (c *Config) Validate() error {
	switch {
	case c.Engine == nil:
		return errors.New("pod: no engine")
	case c.Images == nil || c.Objects == nil || c.Client == nil || c.Recorder == nil || c.Logger == nil || c.Dial == nil:
		return errors.New("pod: Images, Objects, Client, Recorder, Dial and Logger are required")
	case c.Spec.Profile == "" || c.Spec.NodeImage == "":
		return errors.New("pod: profile and node image are required")
	}
	return nil
}
