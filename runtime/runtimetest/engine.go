// Package runtimetest has a stateful fake of the Docker Engine and the contract suite that it and the real engine both
// pass, so that what is tested on the fake holds on the real thing.
//
// The fake keeps containers, images, networks, volumes and their files in memory; its processes are goroutines that run
// package prog. It records calls and can be told to fail or to delay any of them.
package runtimetest

import (
	"context"
	"io"

	"skiff.local/skiff/runtime/docker"
)

// Engine is the whole method set of docker.Engine. Consumers declare the few methods they need; this interface exists to
// hold the fake to the real one's shape.
type Engine interface {
	CreateContainer(ctx context.Context, spec docker.ContainerSpec) (string, error)
	StartContainer(ctx context.Context, id string) error
	StopContainer(ctx context.Context, id string, opts docker.StopOptions) error
	KillContainer(ctx context.Context, id, signal string) error
	PauseContainer(ctx context.Context, id string) error
	UnpauseContainer(ctx context.Context, id string) error
	RemoveContainer(ctx context.Context, id string, opts docker.RemoveOptions) error
	RenameContainer(ctx context.Context, id, name string) error
	InspectContainer(ctx context.Context, id string) (*docker.Container, error)
	ListContainers(ctx context.Context, opts docker.ListOptions) ([]docker.ContainerSummary, error)
	WaitContainer(ctx context.Context, id string, until docker.WaitCondition) (int, error)
	UpdateResources(ctx context.Context, id string, r docker.Resources) error
	Stats(ctx context.Context, id string) (*docker.Stats, error)

	Exec(ctx context.Context, containerID string, spec docker.ExecSpec, streams docker.Streams) (int, error)
	StartExec(ctx context.Context, containerID string, spec docker.ExecSpec, stderr io.Writer) (docker.Session, error)
	InspectExec(ctx context.Context, execID string) (docker.ExecState, error)
	Attach(ctx context.Context, containerID string, streams docker.Streams) error
	ResizeTTY(ctx context.Context, containerID string, size docker.TerminalSize) error
	Logs(ctx context.Context, containerID string, opts docker.LogOptions, stdout, stderr io.Writer) error

	CopyTo(ctx context.Context, containerID, dir string, tar io.Reader, opts docker.CopyOptions) error
	CopyFrom(ctx context.Context, containerID, path string) (io.ReadCloser, docker.FileStat, error)
	StatPath(ctx context.Context, containerID, path string) (docker.FileStat, error)

	InspectImage(ctx context.Context, ref string) (*docker.ImageInfo, error)
	ListImages(ctx context.Context, labels map[string]string) ([]docker.ImageInfo, error)
	PullImage(ctx context.Context, ref string, opts docker.PullOptions) error
	LoadImages(ctx context.Context, tar io.Reader) ([]string, error)
	ImportImage(ctx context.Context, tar io.Reader, opts docker.ImportOptions) (string, error)
	BuildImage(ctx context.Context, tar io.Reader, opts docker.BuildOptions) (string, error)
	TagImage(ctx context.Context, source, target string) error
	RemoveImage(ctx context.Context, ref string, opts docker.RemoveImageOptions) error

	CreateNetwork(ctx context.Context, spec docker.NetworkSpec) (string, error)
	ListNetworks(ctx context.Context, labels map[string]string) ([]docker.Network, error)
	InspectNetwork(ctx context.Context, name string) (*docker.Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	ConnectNetwork(ctx context.Context, name, containerID string, ep docker.Endpoint) error
	DisconnectNetwork(ctx context.Context, name, containerID string, force bool) error

	CreateVolume(ctx context.Context, spec docker.VolumeSpec) (*docker.Volume, error)
	InspectVolume(ctx context.Context, name string) (*docker.Volume, error)
	ListVolumes(ctx context.Context, labels map[string]string) ([]docker.Volume, error)
	RemoveVolume(ctx context.Context, name string, force bool) error

	Events(ctx context.Context, opts docker.EventOptions) <-chan docker.Event
	Info(ctx context.Context) (*docker.EngineInfo, error)
	DiskUsage(ctx context.Context) (*docker.DiskUsage, error)
	Ping(ctx context.Context) error
	APIVersion() string
	Features() docker.Features
	Host() string
	HostSource() string
	Local() bool
	Close() error
}

var (
	_ Engine = (*docker.Engine)(nil)
	_ Engine = (*Fake)(nil)
)
