package nodes

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/nodedeclaredfeatures/features/restartallcontainers"
)

const (
	// AnnotationEngine marks the nodes that skiff registered; its value is the engine's ID.
	AnnotationEngine = "skiff.local/engine"

	// podsPerNode is how many pods a node takes. Chosen: an engine starts about four pods a second, and the network
	// has room for far more.
	podsPerNode = 500
	// assumedStorage is the ephemeral storage of an engine that doesn't tell, as Docker doesn't. A node without any
	// would refuse every pod that requests some; nothing is reserved or enforced.
	assumedStorage = 100 << 30
	// kubeletPort is where the API server believes the kubelet to listen; it reaches skiff's in memory.
	kubeletPort = 10250

	labelControlPlane = "node-role.kubernetes.io/control-plane"
)

// Engine is what a node says about the engine that runs its pods.
type Engine struct {
	ID           string
	Version      string // of the engine: 20.10.24
	OS           string // "linux"
	OSImage      string // "Debian GNU/Linux 12"
	Architecture string // Go's name
	Kernel       string
	CPUs         int
	Memory       int64 // bytes
	Storage      int64 // bytes that containers and volumes may take; assumedStorage when 0
}

// Node is one node to show.
type Node struct {
	Name string
	// Labels and Taints are set when the node is registered for the first time; from then on they are the user's.
	Labels map[string]string
	Taints []corev1.Taint
	// Capacity overrides what the engine has, by resource.
	Capacity corev1.ResourceList
}

// Numbered returns count nodes: first, first-2, first-3 and so on. The first one has the role control-plane.
func Numbered(first string, count int) []Node {
	nodes := []Node{{Name: first, Labels: map[string]string{labelControlPlane: ""}}}
	for i := 2; i <= count; i++ {
		nodes = append(nodes, Node{Name: fmt.Sprintf("%s-%d", first, i)})
	}
	return nodes
}

// Readiness is a node's condition Ready.
type Readiness struct {
	Status          corev1.ConditionStatus
	Reason, Message string
}

// Ready is the readiness while the engine answers.
func Ready() Readiness {
	return Readiness{corev1.ConditionTrue, "EngineReady", "the Docker Engine answers"}
}

// EngineDown is the readiness when it is known that the engine doesn't run.
func EngineDown(message string) Readiness {
	return Readiness{corev1.ConditionFalse, "EngineDown", message}
}

// EngineUnreachable is the readiness when the engine can't be asked, so that nobody knows how its pods are.
func EngineUnreachable(message string) Readiness {
	return Readiness{corev1.ConditionUnknown, "EngineUnreachable", message}
}

// description is everything that determines a node object, apart from what users set on it.
type description struct {
	node           Node
	engine         Engine
	ip             netip.Addr
	profile        string
	kubeletVersion string
	readiness      Readiness
	now            metav1.Time
}

// describe returns the node as it is to be, given as it is, which is nil when there is none. What users set (labels,
// taints, unschedulable) is kept.
func describe(d description, existing *corev1.Node) *corev1.Node {
	n := existing.DeepCopy()
	if n == nil {
		n = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: d.node.Name, Labels: maps.Clone(d.node.Labels)}}
		n.Spec.Taints = d.node.Taints
	}
	n.Labels = with(n.Labels, map[string]string{
		corev1.LabelHostname:   d.node.Name,
		corev1.LabelOSStable:   d.engine.OS,
		corev1.LabelArchStable: d.engine.Architecture,
		// Deprecated since Kubernetes 1.14 and still set by kubelets: old manifests select by them.
		"beta.kubernetes.io/os":   d.engine.OS,
		"beta.kubernetes.io/arch": d.engine.Architecture,
	})
	n.Annotations = with(n.Annotations, map[string]string{AnnotationEngine: d.engine.ID})
	if n.Spec.ProviderID == "" {
		n.Spec.ProviderID = "skiff://" + d.profile + "/" + d.node.Name
	}
	n.Status = describeStatus(d, n.Status)
	return n
}

func describeStatus(d description, old corev1.NodeStatus) corev1.NodeStatus {
	capacity := capacity(d.engine, d.node.Capacity)
	status := corev1.NodeStatus{
		Capacity:    capacity,
		Allocatable: capacity.DeepCopy(),
		Conditions:  conditions(d.readiness, old.Conditions, d.now),
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: d.ip.String()},
			{Type: corev1.NodeHostName, Address: d.node.Name},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
		NodeInfo: corev1.NodeSystemInfo{
			MachineID:               d.engine.ID,
			SystemUUID:              d.engine.ID,
			BootID:                  d.engine.ID,
			KernelVersion:           d.engine.Kernel,
			OSImage:                 d.engine.OSImage,
			ContainerRuntimeVersion: "docker://" + d.engine.Version,
			KubeletVersion:          d.kubeletVersion,
			OperatingSystem:         d.engine.OS,
			Architecture:            d.engine.Architecture,
		},
		// The scheduler binds a pod that needs one of these to nodes that declare it. Sorted, as kubelet declares them.
		DeclaredFeatures: []string{restartallcontainers.RestartAllContainersOnContainerExits},
		VolumesInUse:     old.VolumesInUse,
		VolumesAttached:  old.VolumesAttached,
	}
	return status
}

// capacity is the engine's: every node shows all of it, since any of them may use it. That promises more than there
// is with several nodes, and is what lets a chart made for real machines be scheduled on them at all.
func capacity(e Engine, overrides corev1.ResourceList) corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(e.CPUs), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(e.Memory, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(cmp.Or(e.Storage, assumedStorage), resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(podsPerNode, resource.DecimalSI),
	}
	maps.Copy(list, overrides)
	return list
}

// conditions returns the node's conditions. The pressures begin as none; what the node says of them later is kept.
func conditions(ready Readiness, old []corev1.NodeCondition, now metav1.Time) []corev1.NodeCondition {
	want := []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: ready.Status, Reason: ready.Reason, Message: ready.Message},
	}
	for i := range want {
		want[i].LastHeartbeatTime, want[i].LastTransitionTime = now, now
		for _, o := range old {
			switch {
			case o.Type != want[i].Type:
			case o.Type != corev1.NodeReady:
				want[i] = o
			case o.Status == want[i].Status:
				want[i].LastTransitionTime = o.LastTransitionTime
			}
		}
	}
	return want
}

func with(m, more map[string]string) map[string]string {
	if m == nil {
		m = make(map[string]string, len(more))
	}
	maps.Copy(m, more)
	return m
}
