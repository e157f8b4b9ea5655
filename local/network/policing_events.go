package network

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/policy"
)

// failing is told when a pod's policy is not enforced.
func (p *policing) failing(uid types.UID, err error) {
	pod := p.podOf(uid)
	p.mu.Lock()
	g := p.guards[uid]
	p.mu.Unlock()
	switch {
	case pod == nil:
	case g != nil && !g.isolates():
		p.recorder.Eventf(pod, corev1.EventTypeWarning, "ExternalIPsNotReachable", "the externalIPs of Services can't be reached from this pod: %v", err)
	default:
		p.recorder.Eventf(pod, corev1.EventTypeWarning, "NetworkPolicyNotEnforced", "NetworkPolicies are not enforced for this pod: %v", err)
	}
}

// podOf is the pod with this identity, or nil when there is none any more.
func (p *policing) podOf(uid types.UID) *corev1.Pod {
	pods, err := p.pods.List(labels.Everything())
	if err != nil {
		return nil
	}
	for _, pod := range pods {
		if pod.UID == uid {
			return pod
		}
	}
	return nil
}

// complain makes an event of what has no meaning in a policy, once for as long as it lasts.
func (p *policing) complain(problems []policy.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := map[types.UID]map[string]bool{}
	for _, problem := range problems {
		uid := problem.Policy.UID
		if now[uid] == nil {
			now[uid] = map[string]bool{}
		}
		now[uid][problem.Message] = true
		if !p.told[uid][problem.Message] {
			p.recorder.Event(problem.Policy, corev1.EventTypeWarning, "InvalidPolicy", problem.Message)
		}
	}
	p.told = now
}

// unenforced lists why the policies of pods are not in force, by the pods' namespaces and names.
func (p *policing) unenforced() map[types.NamespacedName]error {
	p.mu.Lock()
	guards := maps.Clone(p.guards)
	p.mu.Unlock()
	out := map[types.NamespacedName]error{}
	for uid, g := range guards {
		err := g.trouble()
		if err == nil || !g.isolates() {
			continue
		}
		if pod := p.podOf(uid); pod != nil {
			out[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = err
		}
	}
	return out
}
