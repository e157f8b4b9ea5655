package plan

// phases order kinds by who needs whom. Kinds that stand nowhere here come with the workloads, as they are written;
// what intercepts or extends the API comes last, so that it can't block its own backend from starting.
var phases = []struct {
	name  string
	kinds []string
}{
	{"namespaces", []string{"Namespace"}},
	{"kinds", []string{"CustomResourceDefinition.apiextensions.k8s.io"}},
	{"classes and rules", []string{
		"PriorityClass.scheduling.k8s.io", "StorageClass.storage.k8s.io", "RuntimeClass.node.k8s.io", "IngressClass.networking.k8s.io",
		"ResourceQuota", "LimitRange", "NetworkPolicy.networking.k8s.io",
	}},
	{"identities", []string{
		"ServiceAccount", "ClusterRole.rbac.authorization.k8s.io", "Role.rbac.authorization.k8s.io",
		"ClusterRoleBinding.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io",
	}},
	{"configuration and storage", []string{"ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim"}},
	{"services", []string{"Service", "Endpoints", "EndpointSlice.discovery.k8s.io"}},
}

var lastKinds = []string{
	"APIService.apiregistration.k8s.io",
	"ValidatingWebhookConfiguration.admissionregistration.k8s.io", "MutatingWebhookConfiguration.admissionregistration.k8s.io",
	"ValidatingAdmissionPolicy.admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
	"MutatingAdmissionPolicy.admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
}

var phaseOf = func() map[string]int {
	byKind := map[string]int{}
	for i, p := range phases {
		for _, kind := range p.kinds {
			byKind[kind] = i
		}
	}
	for _, kind := range lastKinds {
		byKind[kind] = len(phases) + 1
	}
	return byKind
}()

func phase(ref Ref) int {
	key := ref.Kind
	if ref.Group != "" {
		key += "." + ref.Group
	}
	if n, known := phaseOf[key]; known {
		return n
	}
	return len(phases)
}

func phaseName(n int) string {
	switch {
	case n < len(phases):
		return phases[n].name
	case n == len(phases):
		return "workloads"
	default:
		return "extensions of the API"
	}
}

// IsKind reports whether an object defines a kind, so that objects of that kind must wait for it.
func IsKind(ref Ref) bool {
	return ref.Kind == "CustomResourceDefinition" && ref.Group == "apiextensions.k8s.io"
}
