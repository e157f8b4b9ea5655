package network

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/policy"
	"skiff.local/skiff/local/network/relayproto"
)

// routed adds all other pods to the isolated ones, without a policy, while there are externalIPs to give them a way to.
func (p *policing) routed(isolated map[types.UID]relayproto.PodPolicy) (map[types.UID]relayproto.PodPolicy, error) {
	if len(p.network.program.externalIPs()) == 0 {
		return isolated, nil
	}
	p.mu.Lock()
	p.active = true
	p.mu.Unlock()
	pods, err := p.pods.List(labels.Everything())
	if err != nil {
		return isolated, err
	}
	all := maps.Clone(isolated)
	if all == nil {
		all = map[types.UID]relayproto.PodPolicy{}
	}
	for _, o := range p.withEarly(pods) {
		if pod, ok := policy.PodOf(o); ok {
			if _, has := all[pod.UID]; !has {
				all[pod.UID] = relayproto.PodPolicy{Addr: pod.Addrs[0]}
			}
		}
	}
	return all, nil
}

// compile works out the policies of all pods.
func (p *policing) compile() (map[types.UID]relayproto.PodPolicy, []policy.Problem, error) {
	policies, err := p.policies.List(labels.Everything())
	if err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	p.active = len(policies) > 0
	p.mu.Unlock()
	if len(policies) == 0 {
		return nil, nil, nil
	}
	all, err := p.pods.List(labels.Everything())
	if err != nil {
		return nil, nil, err
	}
	pods := []policy.Pod{p.clusterDNS()}
	for _, o := range p.withEarly(all) {
		if pod, ok := policy.PodOf(o); ok {
			pods = append(pods, pod)
		}
	}
	spaces, err := p.spaces.List(labels.Everything())
	if err != nil {
		return nil, nil, err
	}
	byName := map[string]map[string]string{}
	for _, ns := range spaces {
		byName[ns.Name] = ns.Labels
	}
	wanted, problems := policy.Compile(policies, pods, byName)
	return wanted, problems, nil
}

// withEarly replaces the pods that are known better than by their status.
func (p *policing) withEarly(all []*corev1.Pod) []*corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.early) == 0 {
		return all
	}
	still := map[types.UID]*corev1.Pod{}
	all = slices.Clone(all)
	for i, o := range all {
		if early := p.early[o.UID]; early != nil && o.Status.PodIP == "" {
			still[o.UID], all[i] = early, early
		}
	}
	p.early = still
	return all
}

// clusterDNS stands for the pods of the cluster's DNS, which policies select by their well-known label: here it is the
// relay.
func (p *policing) clusterDNS() policy.Pod {
	subnet := p.network.cfg.Subnet
	return policy.Pod{
		Namespace: metav1.NamespaceSystem, Name: "kube-dns", Labels: map[string]string{"k8s-app": "kube-dns"},
		Addrs: []netip.Addr{RelayAddr(subnet), DNSAddr(subnet)},
		Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", ContainerPort: 53, Protocol: corev1.ProtocolTCP}},
	}
}

func (p *policing) guardOf(w relayproto.PodPolicy, routes []netip.Addr) relayproto.PodGuard {
	subnet := p.network.cfg.Subnet
	relay, host := RelayAddr(subnet), HostAddr(subnet)
	g := relayproto.PodGuard{
		Policy:  w,
		Node:    []netip.Addr{GatewayAddr(subnet), relay},
		Relayed: []netip.Prefix{ServiceRange(subnet), netip.PrefixFrom(relay, 32), netip.PrefixFrom(host, 32)},
		Routed:  routes, Via: relay,
	}
	for _, ip := range routes {
		g.Relayed = append(g.Relayed, netip.PrefixFrom(ip, 32))
	}
	return g
}
