package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

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

// ingressProblem says why Ingresses are not served on one of the web's own ports, and where they are.
func ingressProblem(p httpproxy.Problem, at httpproxy.Status, ports *listen.Manager, bind netip.Addr) Problem {
	port := listen.Problem{Port: listen.Port{Addr: netip.AddrPortFrom(bind, p.Port), Protocol: relayproto.TCP}, Err: p.Err}
	if listen.InUse(p.Err) {
		port.Holder = ports.Holder(port.Port)
	}
	message := fmt.Sprintf("Ingresses are not served on port %d: %s", p.Port, whyUnopened(port))
	if answers := open(at.HTTP, at.HTTPS); answers != "" {
		message += "; they answer on " + answers
	}
	return Problem{Reason: "IngressPort", Message: message, Hint: portHint(port)}
}

func open(ports ...uint16) string {
	var list []string
	for _, p := range ports {
		if p != 0 {
			list = append(list, fmt.Sprintf("port %d", p))
		}
	}
	return strings.Join(list, " and ")
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
