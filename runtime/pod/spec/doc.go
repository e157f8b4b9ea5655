// Package spec says what a pod's containers look like to the engine: it translates the API's pod into container specs. It
// is pure; what has to be looked up (images, environment, volumes) comes in as data.
package spec

import (
	"net/netip"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
)

// Labels of pod containers beyond those of package docker.
const (
	// LabelSandbox is the attempt of the sandbox that a container was made for.
	LabelSandbox = "skiff.local/sandbox"
	// LabelBackoff is the delay that preceded the container's start, as a Go duration.
	LabelBackoff = "skiff.local/backoff"
)

// Config is what all pods of a node have in common.
type Config struct {
	Profile       string
	Network       string
	NodeImage     string
	ClusterDNS    netip.Addr
	ClusterDomain string
	Engine        docker.EngineInfo
	Features      docker.Features
	// Allocatable stands in for limits that a pod doesn't set, as in the downward API.
	Allocatable v1.ResourceList
}

func (c *Config) identity(pod *v1.Pod, container string, attempt int, hash string) docker.Identity {
	role := docker.RoleContainer
	if container == docker.SandboxContainer {
		role = docker.RoleSandbox
	}
	return docker.Identity{
		Profile: c.Profile, Role: role, Pod: pod.Name, Namespace: pod.Namespace, UID: string(pod.UID),
		Container: container, Attempt: attempt, SpecHash: hash,
	}
}
