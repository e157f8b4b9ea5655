package spec

import (
	"maps"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"

	"skiff.local/skiff/runtime/docker"
)

// A ContainerInput is what a container's spec is made from beside the pod.
type ContainerInput struct {
	Pod       *v1.Pod
	Container *v1.Container
	Attempt   int
	Hash      string
	Backoff   time.Duration
	// Sandbox is the id of the pause container, SandboxAttempt its count.
	Sandbox        string
	SandboxAttempt int
	// ImageID names exactly the image that was checked; ImageUser is the user it sets.
	ImageID   string
	ImageUser string
	Env       []EnvVar
	Mounts    []docker.Mount
	// TargetID is the container whose processes an ephemeral container joins.
	TargetID string
}

// Container is one of the pod's own containers, joined to the sandbox.
func (c *Config) Container(in ContainerInput) (docker.ContainerSpec, error) {
	pod, container := in.Pod, in.Container
	id := c.identity(pod, container.Name, in.Attempt, in.Hash)
	labels := id.Labels()
	maps.Copy(labels, map[string]string{
		LabelSandbox: strconv.Itoa(in.SandboxAttempt),
		LabelBackoff: in.Backoff.String(),
	})
	mapping := expansion.MappingFuncFor(envMap(in.Env))
	out := docker.ContainerSpec{
		Name: id.ContainerName(), Image: container.Image, Labels: labels,
		Cmd: expand(container.Args, mapping), Env: envList(in.Env), WorkingDir: container.WorkingDir,
		TTY: container.TTY, Stdin: container.Stdin, StdinOnce: container.StdinOnce,
		Network: docker.ContainerMode(in.Sandbox), IPC: docker.ContainerMode(in.Sandbox),
		Resources: c.Resources(pod, container), OOMScoreAdj: c.OOMScore(pod, container),
		Mounts: in.Mounts,
	}
	if len(container.Command) > 0 {
		out.Entrypoint = expand(container.Command, mapping)
	}
	if pod.Spec.HostNetwork {
		out.UTS = "host"
	}
	if pod.Spec.HostIPC {
		out.IPC = "host"
	}
	switch {
	case in.TargetID != "":
		out.PID = docker.ContainerMode(in.TargetID)
	case pod.Spec.HostPID:
		out.PID = "host"
	case pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace:
		out.PID = docker.ContainerMode(in.Sandbox)
	}
	if l := container.Lifecycle; l != nil && l.StopSignal != nil {
		out.StopSignal = string(*l.StopSignal)
	}
	return out, c.secure(pod, container, in.ImageUser, &out)
}

func expand(list []string, mapping func(string) string) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = expansion.Expand(s, mapping)
	}
	return out
}

func envMap(env []EnvVar) map[string]string {
	out := make(map[string]string, len(env))
	for _, e := range env {
		out[e.Name] = e.Value
	}
	return out
}

func envList(env []EnvVar) []string {
	out := make([]string, 0, len(env))
	for _, e := range env {
		out = append(out, e.Name+"="+e.Value)
	}
	return out
}

// NeedsSandboxUp reports whether a container can be created only once the sandbox runs: its environment or a subPath
// names the pod's address, or a path in a volume has to be made first.
func (c *Config) NeedsSandboxUp(pod *v1.Pod, container *v1.Container) bool {
	for _, e := range container.Env {
		if e.ValueFrom == nil {
			continue
		}
		if f := e.ValueFrom.FieldRef; f != nil && strings.HasPrefix(f.FieldPath, "status.") {
			return true
		}
		if e.ValueFrom.FileKeyRef != nil {
			return true
		}
	}
	for _, m := range container.VolumeMounts {
		if m.SubPath != "" || m.SubPathExpr != "" {
			return true
		}
	}
	return false
}
