package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/listen"
	"skiff.local/skiff/local/network/relayproto"
)

// portMessage says what is wrong with a port of this machine, and where its Service answers instead: for events and the
// status.
func (b *balancer) portMessage(p listen.Problem, at httpproxy.Status) string {
	p = nameIngress(p, at)
	message := p.Port.String() + " can't be opened: " + whyUnopened(p)
	if p.Owner.Kind != "Service" {
		return message
	}
	key := relayproto.Key{Namespace: p.Owner.Namespace, Name: p.Owner.Name}
	if where := instead(b.network.program.service(key), b.address(key), p); where != "" {
		message += "; the Service answers on " + where
	}
	return message
}

func whyUnopened(p listen.Problem) string {
	switch {
	case p.Holder != "":
		return p.Holder + " has it"
	case listen.InUse(p.Err):
		return "another program has it"
	case errors.Is(p.Err, os.ErrPermission):
		return "this system gives ports below 1024 to root only"
	}
	return p.Err.Error()
}

// nameIngress puts the name on a problem whose holder is this very process.
func nameIngress(p listen.Problem, at httpproxy.Status) listen.Problem {
	if port := p.Port.Addr.Port(); p.Port.Protocol == relayproto.TCP && listen.InUse(p.Err) && (port == at.HTTP || port == at.HTTPS) {
		p.Holder, p.Ours = "this cluster's Ingress", true
	}
	return p
}

// instead is where a LoadBalancer answers whose own port can't be opened: its own address when only localhost's is taken by
// something else of the cluster, or its node port. It is empty for a node port itself.
func instead(svc *corev1.Service, own netip.Addr, p listen.Problem) string {
	if svc == nil || svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return ""
	}
	for _, sp := range svc.Spec.Ports {
		switch {
		case uint16(sp.Port) != p.Port.Addr.Port() || protocol(sp.Protocol) != p.Port.Protocol:
		case p.Ours && own.IsValid() && own != p.Port.Addr.Addr():
			return netip.AddrPortFrom(own, uint16(sp.Port)).String()
		case sp.NodePort != 0:
			return fmt.Sprintf("localhost:%d, its node port", sp.NodePort)
		}
	}
	return ""
}

func portHint(p listen.Problem) string {
	if errors.Is(p.Err, os.ErrPermission) {
		return "sudo sysctl net.ipv4.ip_unprivileged_port_start=80"
	}
	return "it is opened as soon as it is free"
}
