package network

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network/gateway/plan"
	"skiff.local/skiff/local/network/listen"
)

// A Status is how the network is.
type Status struct {
	Subnet    netip.Prefix
	Relay     netip.Addr
	Connected bool // there is a session with the relay
	// Direct says that pod addresses are dialled without the relay.
	Direct   bool
	Services int
	// HTTP and HTTPS are the ports where Ingresses are served; 0 when there are none.
	HTTP, HTTPS uint16
	Routes      []plan.Answer // of the Gateway API
	Problems    []Problem
}

// A Problem is something about the network that is not well.
type Problem struct {
	Object  string // "service/default/web", or empty for the network as a whole
	Reason  string
	Message string
	Hint    string
}

// Status reports how the network is now.
func (n *Network) Status() Status {
	session, _ := n.link.current()
	_, hello := n.link.controlStream()
	s := Status{
		Subnet: n.cfg.Subnet, Relay: RelayAddr(n.cfg.Subnet), Connected: session != nil, Direct: n.direct.Load(),
	}
	n.program.mu.Lock()
	s.Services = len(n.program.services)
	trouble := n.program.trouble
	n.program.mu.Unlock()
	n.mu.Lock()
	ports, balancer, web, routes, police := n.ports, n.balancer, n.ingress, n.gateway, n.policing
	n.mu.Unlock()

	add := func(p Problem) { s.Problems = append(s.Problems, p) }
	if session == nil {
		add(Problem{Reason: "RelayLost", Message: "the relay is not connected: Services and DNS work as far as it still runs", Hint: "it is restarted by itself; see the daemon's log when it is not"})
	}
	if hello.Problem != "" && session != nil {
		add(Problem{Reason: "RelayDegraded", Message: hello.Problem})
	} else if trouble != "" {
		add(Problem{Reason: "RelayIncomplete", Message: "the relay could not apply everything: " + trouble})
	}
	if clash := Clash(n.cfg.Subnet); clash.IsValid() {
		add(Problem{
			Reason:  "SubnetClash",
			Message: fmt.Sprintf("the cluster's subnet %s overlaps this machine's route to %s (a VPN?)", n.cfg.Subnet, clash),
			Hint:    "make the cluster anew with another --subnet",
		})
	}
	if web != nil {
		st := web.Status()
		s.HTTP, s.HTTPS = st.HTTP, st.HTTPS
		for _, p := range st.Problems {
			add(ingressProblem(p, st, ports, n.cfg.Bind[0]))
		}
	}
	if routes != nil {
		s.Routes = routes.Answers()
	}
	if police != nil {
		for pod, err := range police.unenforced() {
			add(Problem{Object: "pod/" + pod.String(), Reason: "NetworkPolicyNotEnforced", Message: err.Error()})
		}
	}
	if ports != nil {
		for _, p := range ports.Problems() {
			kind := "service/"
			if p.Owner.Kind == "Pod" {
				kind = "pod/"
			}
			add(Problem{Object: kind + p.Owner.Namespace + "/" + p.Owner.Name, Reason: "PortUnavailable", Message: balancer.portMessage(p, web.Status()), Hint: portHint(p)})
		}
	}
	return s
}

// Answering lists the addresses of this machine on which a port is open for a Service.
func (n *Network) Answering(namespace, name string, port int32, proto corev1.Protocol) []netip.Addr {
	n.mu.Lock()
	ports := n.ports
	n.mu.Unlock()
	if ports == nil {
		return nil
	}
	return ports.Addresses(listen.Owner{Kind: "Service", Namespace: namespace, Name: name}, uint16(port), protocol(proto))
}
