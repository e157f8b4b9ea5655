package docker

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// The labels on everything skiff makes in an engine. Labels can't change after creation, so they hold identity only;
// whatever changes lives in the API objects.
const (
	LabelProfile  = "skiff.local/profile"
	LabelRole     = "skiff.local/role"
	LabelAttempt  = "skiff.local/attempt"
	LabelSpecHash = "skiff.local/spec-hash"
	// LabelHome is on a profile's network: the folder whose cluster it is.
	LabelHome = "skiff.local/home"

	// The names that other tools know a pod's containers by.
	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelContainerName = "io.kubernetes.container.name"
)

// Role says what an object in the engine is for.
type Role string

// The roles.
const (
	RoleSandbox   Role = "pod-sandbox"
	RoleContainer Role = "pod-container"
	RoleRelay     Role = "relay"
	RoleVolume    Role = "volume"
	RoleNetwork   Role = "network"
	RoleImage     Role = "image"
	RoleHelper    Role = "helper"
)

// SandboxContainer is the container name of a pod's pause container, in its labels and in its engine name.
const SandboxContainer = "POD"

const containerNamePrefix = "k8s"

// Identity is who a container of a pod is: everything skiff needs to recognise it after a restart.
type Identity struct {
	Profile   string
	Role      Role // RoleSandbox or RoleContainer
	Pod       string
	Namespace string
	UID       string
	Container string // SandboxContainer for the pause container
	Attempt   int    // how many containers of this name came before
	SpecHash  string // of what the container was made from
}

// Labels returns a fresh map of the identity's labels.
func (i Identity) Labels() map[string]string {
	labels := map[string]string{
		LabelProfile:       i.Profile,
		LabelRole:          string(i.Role),
		LabelPodName:       i.Pod,
		LabelPodNamespace:  i.Namespace,
		LabelPodUID:        i.UID,
		LabelContainerName: i.Container,
		LabelAttempt:       strconv.Itoa(i.Attempt),
	}
	if i.SpecHash != "" {
		labels[LabelSpecHash] = i.SpecHash
	}
	return labels
}

// ParseIdentity reads what Labels wrote. It reports false for containers that are not part of a skiff pod.
func ParseIdentity(labels map[string]string) (Identity, bool) {
	id := Identity{
		Profile:   labels[LabelProfile],
		Role:      Role(labels[LabelRole]),
		Pod:       labels[LabelPodName],
		Namespace: labels[LabelPodNamespace],
		UID:       labels[LabelPodUID],
		Container: labels[LabelContainerName],
		SpecHash:  labels[LabelSpecHash],
	}
	attempt, err := strconv.Atoi(labels[LabelAttempt])
	if err != nil || attempt < 0 || id.Profile == "" || id.UID == "" || id.Container == "" {
		return Identity{}, false
	}
	if id.Role != RoleSandbox && id.Role != RoleContainer {
		return Identity{}, false
	}
	id.Attempt = attempt
	return id, true
}

// ContainerName is the engine's name for the container, in the form that cri-dockerd and the dockershim used, so that
// tools which parse it keep working. UIDs are unique, so profiles don't collide.
func (i Identity) ContainerName() string {
	return strings.Join([]string{containerNamePrefix, i.Container, i.Pod, i.Namespace, i.UID, strconv.Itoa(i.Attempt)}, "_")
}

// ParseContainerName reads what ContainerName wrote; profile, role and hash are not part of a name. None of the parts
// can contain an underscore: Kubernetes' names are DNS labels and subdomains.
func ParseContainerName(name string) (Identity, error) {
	parts := strings.Split(strings.TrimPrefix(name, "/"), "_")
	if len(parts) != 6 || parts[0] != containerNamePrefix {
		return Identity{}, fmt.Errorf("parse container name %q: not of the form k8s_container_pod_namespace_uid_attempt", name)
	}
	attempt, err := strconv.Atoi(parts[5])
	if err != nil || attempt < 0 {
		return Identity{}, fmt.Errorf("parse container name %q: attempt %q is not a count", name, parts[5])
	}
	role := RoleContainer
	if parts[1] == SandboxContainer {
		role = RoleSandbox
	}
	return Identity{Role: role, Container: parts[1], Pod: parts[2], Namespace: parts[3], UID: parts[4], Attempt: attempt}, nil
}

// ProfileLabels are the labels of an object of the profile that belongs to no pod, and the filter that finds it. An
// empty role leaves it out.
func ProfileLabels(profile string, role Role) map[string]string {
	labels := map[string]string{LabelProfile: profile}
	if role != "" {
		labels[LabelRole] = string(role)
	}
	return labels
}

// PodLabels is the filter that finds the containers and volumes of one pod.
func PodLabels(profile, uid string) map[string]string {
	return map[string]string{LabelProfile: profile, LabelPodUID: uid}
}

// VolumeLabels are the labels of a pod's volume.
func VolumeLabels(profile, namespace, pod, uid string) map[string]string {
	labels := ProfileLabels(profile, RoleVolume)
	maps.Copy(labels, map[string]string{LabelPodName: pod, LabelPodNamespace: namespace, LabelPodUID: uid})
	return labels
}

// NetworkName is the name of the profile's network.
func NetworkName(profile string) string { return "skiff-" + profile }

// RelayName is the name of the profile's relay container.
func RelayName(profile string) string { return NetworkName(profile) + "-relay" }

// PodVolumeName is the name of the engine volume behind one volume of a pod. Both parts are DNS labels or UUIDs.
func PodVolumeName(uid, volume string) string { return "k8s_" + uid + "_" + volume }
