package spec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/securitycontext"

	"skiff.local/skiff/runtime/docker"
)

// A ConfigError is a container that can't be made from what the pod says: CreateContainerConfigError.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

func configErrorf(format string, args ...any) error {
	return &ConfigError{fmt.Errorf(format, args...)}
}

// secure applies the security contexts of pod and container.
func (c *Config) secure(pod *v1.Pod, container *v1.Container, imageUser string, out *docker.ContainerSpec) error {
	sc := securitycontext.DetermineEffectiveSecurityContext(pod, container)
	if sc == nil {
		sc = &v1.SecurityContext{}
	}
	if err := verifyNonRoot(pod, container, sc, imageUser); err != nil {
		return err
	}
	out.User = user(sc, imageUser)
	out.Groups = groups(pod)
	out.ReadonlyRootfs = sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem
	out.Privileged = sc.Privileged != nil && *sc.Privileged
	if sc.Capabilities != nil {
		out.CapAdd, out.CapDrop = capabilities(sc.Capabilities.Add), capabilities(sc.Capabilities.Drop)
	}
	out.Security.NoNewPrivileges = securitycontext.AddNoNewPrivileges(sc)
	out.Security.UnmaskedProc = sc.ProcMount != nil && *sc.ProcMount == v1.UnmaskedProcMount
	if o := sc.SELinuxOptions; o != nil {
		out.Security.SELinuxUser, out.Security.SELinuxRole = o.User, o.Role
		out.Security.SELinuxType, out.Security.SELinuxLevel = o.Type, o.Level
	}
	if err := seccomp(pod, container, &out.Security); err != nil {
		return err
	}
	return c.appArmor(pod, container, out)
}

// seccomp leaves out the option for RuntimeDefault and for nothing at all: absent means the engine's default profile. Profiles
// are no part of Kubernetes' effective security context.
func seccomp(pod *v1.Pod, container *v1.Container, out *docker.SecurityOptions) error {
	var profile *v1.SeccompProfile
	if pod.Spec.SecurityContext != nil {
		profile = pod.Spec.SecurityContext.SeccompProfile
	}
	if container.SecurityContext != nil && container.SecurityContext.SeccompProfile != nil {
		profile = container.SecurityContext.SeccompProfile
	}
	switch {
	case profile == nil:
	case profile.Type == v1.SeccompProfileTypeUnconfined:
		out.Seccomp = "unconfined"
	case profile.Type == v1.SeccompProfileTypeLocalhost:
		return configErrorf("seccomp profile of type Localhost: the node has no profile directory; use RuntimeDefault or Unconfined")
	}
	return nil
}

// dockerAppArmor is the profile that an engine with AppArmor loads, and gives to containers that aren't privileged.
const dockerAppArmor = "docker-default"

// appArmor gives the container its own profile or the pod's. RuntimeDefault is what the engine does by itself, and so nothing
// where it has no AppArmor; a profile by name is refused there, in kubelet's words.
func (c *Config) appArmor(pod *v1.Pod, container *v1.Container, out *docker.ContainerSpec) error {
	var profile *v1.AppArmorProfile
	if pod.Spec.SecurityContext != nil {
		profile = pod.Spec.SecurityContext.AppArmorProfile
	}
	if container.SecurityContext != nil && container.SecurityContext.AppArmorProfile != nil {
		profile = container.SecurityContext.AppArmorProfile
	}
	switch {
	case profile == nil:
	case profile.Type == v1.AppArmorProfileTypeLocalhost && profile.LocalhostProfile != nil:
		if !c.Engine.AppArmor {
			return configErrorf("Cannot enforce AppArmor: AppArmor is not enabled on the engine's host; leave profile %q out, or use RuntimeDefault", *profile.LocalhostProfile)
		}
		out.Security.AppArmor = *profile.LocalhostProfile
	case !c.Engine.AppArmor:
	case profile.Type == v1.AppArmorProfileTypeUnconfined:
		out.Security.AppArmor = "unconfined"
	case profile.Type == v1.AppArmorProfileTypeRuntimeDefault && out.Privileged:
		out.Security.AppArmor = dockerAppArmor
	}
	return nil
}

// verifyNonRoot applies runAsNonRoot as kubelet does, with its messages.
func verifyNonRoot(pod *v1.Pod, container *v1.Container, sc *v1.SecurityContext, imageUser string) error {
	if sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot {
		return nil
	}
	where := fmt.Sprintf("(pod: %q, container: %s)", pod.Name+"_"+pod.Namespace+"("+string(pod.UID)+")", container.Name)
	if sc.RunAsUser != nil {
		if *sc.RunAsUser == 0 {
			return configErrorf("container's runAsUser breaks non-root policy %s", where)
		}
		return nil
	}
	name, _, _ := strings.Cut(imageUser, ":")
	uid, err := strconv.ParseInt(name, 10, 64)
	switch {
	case name == "" || err == nil && uid == 0:
		return configErrorf("container has runAsNonRoot and image will run as root %s", where)
	case errors.Is(err, strconv.ErrSyntax):
		return configErrorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root %s", name, where)
	}
	return nil
}

// user is what the process runs as: the context's ids over the image's.
func user(sc *v1.SecurityContext, imageUser string) string {
	name, group, _ := strings.Cut(imageUser, ":")
	if sc.RunAsUser != nil {
		// Another user than the image's doesn't get the image's group.
		name, group = strconv.FormatInt(*sc.RunAsUser, 10), ""
	}
	if sc.RunAsGroup != nil {
		group = strconv.FormatInt(*sc.RunAsGroup, 10)
		if name == "" {
			name = "0"
		}
	}
	if name == "" || sc.RunAsUser == nil && sc.RunAsGroup == nil {
		return "" // the image's own
	}
	if group == "" {
		return name
	}
	return name + ":" + group
}

func groups(pod *v1.Pod) []string {
	sc := pod.Spec.SecurityContext
	if sc == nil {
		return nil
	}
	var out []string
	if sc.FSGroup != nil {
		out = append(out, strconv.FormatInt(*sc.FSGroup, 10))
	}
	for _, g := range sc.SupplementalGroups {
		out = append(out, strconv.FormatInt(g, 10))
	}
	return out
}

func capabilities(list []v1.Capability) []string {
	var out []string
	for _, c := range list {
		name := strings.ToUpper(string(c))
		if name != "ALL" && !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		out = append(out, name)
	}
	return out
}
