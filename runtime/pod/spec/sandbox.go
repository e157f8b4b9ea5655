package spec

import (
	"errors"
	"strings"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
)

// sandboxCPUShares: the pause container does next to nothing. Its OOM score stays 0, not kubelet's -998: it is too small to
// be chosen, and not every engine may lower a score.
const sandboxCPUShares = 2

// Sandbox is the pod's pause container. Everything that is the pod's and not a container's is on it: the engine refuses
// hostname, DNS and hosts on a container that joins another's network. mounts show it the pod's volumes.
func (c *Config) Sandbox(pod *v1.Pod, attempt int, mounts []docker.Mount) docker.ContainerSpec {
	id := c.identity(pod, docker.SandboxContainer, attempt, "")
	host, domain := Hostname(pod, c.ClusterDomain)
	out := docker.ContainerSpec{
		Name: id.ContainerName(), Image: c.NodeImage, Labels: id.Labels(),
		Cmd: []string{"pause"},
		// The agent in the pause process reads requests from standard input; what it answers is no log.
		Stdin: true, Log: docker.LogConfig{Driver: "none"},
		Network: c.Network, IPC: "shareable",
		Resources: docker.Resources{CPUShares: sandboxCPUShares, CgroupParent: c.cgroupParent(pod)},
		Mounts:    mounts,
		Sysctls:   sysctls(pod),
	}
	if pod.Spec.HostNetwork {
		out.Network, out.UTS = "host", "host"
	} else {
		// The domain is in /etc/hosts alone, as with kubelet: the engine would also set the kernel's, which a rootless one may not.
		out.Hostname = host
		if domain != "" && pod.Spec.SetHostnameAsFQDN != nil && *pod.Spec.SetHostnameAsFQDN {
			out.Hostname = host + "." + domain
		}
		// For the helper that enforces NetworkPolicies in the pod's namespace; the pod's own containers don't get it.
		out.CapAdd = []string{"NET_ADMIN"}
	}
	if pod.Spec.HostIPC {
		out.IPC = "host"
	}
	if pod.Spec.HostPID {
		out.PID = "host"
	}
	return out
}

// CheckSandbox refuses what the engine has no way to give a pod: as with kubelet, it isn't left out silently. The engine maps
// users for all containers or for none.
func (c *Config) CheckSandbox(pod *v1.Pod) error {
	if pod.Spec.HostUsers == nil || *pod.Spec.HostUsers || c.Engine.UserNSRemap || c.Engine.Rootless {
		return nil
	}
	return errors.New("hostUsers is false, but the Docker Engine has no user namespaces: leave hostUsers out, or run the engine rootless or with userns-remap")
}

// Hostname is the pod's host name and, with a subdomain, its domain.
func Hostname(pod *v1.Pod, clusterDomain string) (host, domain string) {
	host = pod.Name
	if pod.Spec.Hostname != "" {
		host = pod.Spec.Hostname
	}
	if pod.Spec.HostnameOverride != nil {
		return *pod.Spec.HostnameOverride, ""
	}
	const longest = 63 // the kernel takes 64 bytes, DNS labels 63
	if len(host) > longest {
		host = strings.TrimRight(host[:longest], "-.")
	}
	if pod.Spec.Subdomain != "" {
		domain = pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + clusterDomain
	}
	return host, domain
}

func sysctls(pod *v1.Pod) map[string]string {
	sc := pod.Spec.SecurityContext
	if sc == nil || len(sc.Sysctls) == 0 {
		return nil
	}
	out := make(map[string]string, len(sc.Sysctls))
	for _, s := range sc.Sysctls {
		out[strings.ReplaceAll(s.Name, "/", ".")] = s.Value
	}
	return out
}
