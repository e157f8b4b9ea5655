package controllers

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/endpoint"
)

// anyOf waits for any object of a kind.
func anyOf(kind informerOf) watched { return watched{kind: kind} }

// that waits for an object of a kind that matches.
func that[T any](kind informerOf, matches func(T) bool) watched {
	return watched{kind, func(obj any) bool {
		o, ok := obj.(T)
		return ok && matches(o)
	}}
}

type informerOf func(informers.SharedInformerFactory) cache.SharedIndexInformer

type factory = informers.SharedInformerFactory

func pods(f factory) cache.SharedIndexInformer         { return f.Core().V1().Pods().Informer() }
func nodeObjects(f factory) cache.SharedIndexInformer  { return f.Core().V1().Nodes().Informer() }
func services(f factory) cache.SharedIndexInformer     { return f.Core().V1().Services().Informer() }
func quotas(f factory) cache.SharedIndexInformer       { return f.Core().V1().ResourceQuotas().Informer() }
func secrets(f factory) cache.SharedIndexInformer      { return f.Core().V1().Secrets().Informer() }
func endpointObjs(f factory) cache.SharedIndexInformer { return f.Core().V1().Endpoints().Informer() }
func controllersV1(f factory) cache.SharedIndexInformer {
	return f.Core().V1().ReplicationControllers().Informer()
}
func claims(f factory) cache.SharedIndexInformer {
	return f.Core().V1().PersistentVolumeClaims().Informer()
}
func volumes(f factory) cache.SharedIndexInformer {
	return f.Core().V1().PersistentVolumes().Informer()
}
func statefulSets(f factory) cache.SharedIndexInformer {
	return f.Apps().V1().StatefulSets().Informer()
}
func daemonSets(f factory) cache.SharedIndexInformer { return f.Apps().V1().DaemonSets().Informer() }
func jobs(f factory) cache.SharedIndexInformer       { return f.Batch().V1().Jobs().Informer() }
func cronJobs(f factory) cache.SharedIndexInformer   { return f.Batch().V1().CronJobs().Informer() }
func budgets(f factory) cache.SharedIndexInformer {
	return f.Policy().V1().PodDisruptionBudgets().Informer()
}
func autoscalers(f factory) cache.SharedIndexInformer {
	return f.Autoscaling().V2().HorizontalPodAutoscalers().Informer()
}
func certificateRequests(f factory) cache.SharedIndexInformer {
	return f.Certificates().V1().CertificateSigningRequests().Informer()
}
func attributesClasses(f factory) cache.SharedIndexInformer {
	return f.Storage().V1().VolumeAttributesClasses().Informer()
}
func admissionPolicies(f factory) cache.SharedIndexInformer {
	return f.Admissionregistration().V1().ValidatingAdmissionPolicies().Informer()
}
func resourceClaims(f factory) cache.SharedIndexInformer {
	return f.Resource().V1().ResourceClaims().Informer()
}

// selectsPods is a Service whose endpoints somebody has to publish. Endpoints that were published before are the
// business of the same controllers; the garbage collector takes them when their Service goes.
func selectsPods(s *corev1.Service) bool { return len(s.Spec.Selector) > 0 }

// trackedByJob is a pod that the Job controller has to release, even when its Job is gone.
func trackedByJob(p *corev1.Pod) bool {
	return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer)
}

// disrupted is a pod that was to be evicted. The disruption controller takes that back if nothing came of it.
func disrupted(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	})
}

func hasEphemeralVolume(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil })
}

func claimsResources(p *corev1.Pod) bool { return len(p.Spec.ResourceClaims) > 0 }

func expires(j *batchv1.Job) bool { return j.Spec.TTLSecondsAfterFinished != nil }

func evicts(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute })
}

func isToken(s *corev1.Secret) bool { return s.Type == corev1.SecretTypeServiceAccountToken }

// madeByHand are Endpoints that no controller publishes EndpointSlices for.
func madeByHand(e *corev1.Endpoints) bool {
	return e.Labels[endpoint.LabelManagedBy] == "" && e.Labels["endpointslice.kubernetes.io/skip-mirror"] != "true"
}
