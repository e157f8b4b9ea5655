package network

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// unserved says what of a Service has no effect on a laptop, so that nobody waits for it.
func unserved(svc *corev1.Service) []string {
	var all []string
	if len(svc.Spec.ExternalIPs) > 0 {
		all = append(all, fmt.Sprintf("externalIPs (%s) are answered inside the cluster only: no other machine routes them here; use the node port or type LoadBalancer", strings.Join(svc.Spec.ExternalIPs, ", ")))
	}
	if slices.Contains(svc.Spec.IPFamilies, corev1.IPv6Protocol) {
		all = append(all, "IPv6 is not served: the pod network is IPv4")
	}
	for _, p := range svc.Spec.Ports {
		if p.Protocol == corev1.ProtocolSCTP && svc.Spec.Type != corev1.ServiceTypeClusterIP {
			all = append(all, fmt.Sprintf("port %d: SCTP is served inside the cluster only, not on localhost", p.Port))
		}
	}
	if class := svc.Spec.LoadBalancerClass; class != nil && !ourClass(class) {
		all = append(all, fmt.Sprintf("loadBalancerClass %q is left to its own controller; skiff serves no class or %q", *class, LoadBalancerClass))
	}
	return all
}

// tellUnserved makes an event of it, once per Service and text.
func (l *localhost) tellUnserved(svc *corev1.Service) {
	if svc == nil {
		return
	}
	now := map[string]bool{}
	for _, text := range unserved(svc) {
		now[text] = true
		if !l.told[svc.UID][text] {
			l.recorder.Event(svc, corev1.EventTypeWarning, "NotServed", text)
		}
	}
	if len(now) == 0 {
		delete(l.told, svc.UID)
		return
	}
	if l.told == nil {
		l.told = map[types.UID]map[string]bool{}
	}
	l.told[svc.UID] = now
}
