package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/relayproto"
)

// A Pod is what policies see of a pod.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	Labels          map[string]string
	Addrs           []netip.Addr // the first is its own; further ones stand for it
	Ports           []corev1.ContainerPort
}

// PodOf reads a pod. It reports false for one that policies don't apply to: without an address of its own, or over.
func PodOf(p *corev1.Pod) (Pod, bool) {
	ip, err := netip.ParseAddr(p.Status.PodIP)
	if err != nil || !ip.Is4() || p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return Pod{}, false
	}
	out := Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID, Labels: p.Labels, Addrs: []netip.Addr{ip}}
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, c := range list {
			out.Ports = append(out.Ports, c.Ports...)
		}
	}
	return out, true
}

// A Problem is a part of a policy that has no meaning here.
type Problem struct {
	Policy  *networkingv1.NetworkPolicy
	Message string
}

// Compile works out the policy of every pod that at least one NetworkPolicy selects. namespaces are their labels.
func Compile(policies []*networkingv1.NetworkPolicy, pods []Pod, namespaces map[string]map[string]string) (map[types.UID]relayproto.PodPolicy, []Problem) {
	c := compiler{pods: slices.Clone(pods), namespaces: namespaces}
	slices.SortFunc(c.pods, func(a, b Pod) int { return a.Addrs[0].Compare(b.Addrs[0]) })
	policies = slices.Clone(policies)
	slices.SortFunc(policies, func(a, b *networkingv1.NetworkPolicy) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	out := map[types.UID]relayproto.PodPolicy{}
	for _, policy := range policies {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil {
			c.problem(policy, "podSelector: %v", err)
			continue
		}
		ingress, egress := directions(policy)
		for i := range c.pods {
			pod := &c.pods[i]
			if pod.UID == "" || pod.Namespace != policy.Namespace || !selector.Matches(labels.Set(pod.Labels)) {
				continue
			}
			p := out[pod.UID]
			p.Addr = pod.Addrs[0]
			if ingress {
				p.Ingress = extend(p.Ingress, c.ingress(policy, pod))
			}
			if egress {
				p.Egress = extend(p.Egress, c.egress(policy))
			}
			out[pod.UID] = p
		}
	}
	return out, c.problems
}

// directions says in which directions a policy isolates.
func directions(p *networkingv1.NetworkPolicy) (ingress, egress bool) {
	if len(p.Spec.PolicyTypes) == 0 {
		return true, len(p.Spec.Egress) > 0
	}
	return slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress), slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

func extend(i *relayproto.Isolation, allow []relayproto.Allow) *relayproto.Isolation {
	if i == nil {
		i = &relayproto.Isolation{}
	}
	i.Allow = append(i.Allow, allow...)
	return i
}

type compiler struct {
	pods       []Pod
	namespaces map[string]map[string]string
	problems   []Problem
}

func (c *compiler) problem(p *networkingv1.NetworkPolicy, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	for _, have := range c.problems {
		if have.Policy == p && have.Message == message {
			return
		}
	}
	c.problems = append(c.problems, Problem{p, message})
}

func (c *compiler) ingress(policy *networkingv1.NetworkPolicy, pod *Pod) []relayproto.Allow {
	var all []relayproto.Allow
	for _, rule := range policy.Spec.Ingress {
		allow := relayproto.Allow{AnyPeer: len(rule.From) == 0}
		for _, peer := range rule.From {
			allow.Peers = append(allow.Peers, c.blocks(policy, peer)...)
			allow.Peers = append(allow.Peers, addresses(c.selected(policy, peer))...)
		}
		allow.Peers = merge(allow.Peers)
		matchable := len(rule.Ports) == 0
		for _, p := range rule.Ports {
			for _, r := range portRanges(p, []Pod{*pod}) {
				allow.Ports = append(allow.Ports, r)
				matchable = true
			}
		}
		if matchable {
			all = append(all, allow)
		}
	}
	return all
}

func (c *compiler) egress(policy *networkingv1.NetworkPolicy) []relayproto.Allow {
	var all []relayproto.Allow
	for _, rule := range policy.Spec.Egress {
		allow := relayproto.Allow{AnyPeer: len(rule.To) == 0}
		peers := c.pods
		if !allow.AnyPeer {
			peers = nil
			for _, peer := range rule.To {
				allow.Peers = append(allow.Peers, c.blocks(policy, peer)...)
				peers = append(peers, c.selected(policy, peer)...)
			}
			allow.Peers = merge(append(allow.Peers, addresses(peers)...))
		}
		matchable := len(rule.Ports) == 0
		for _, p := range rule.Ports {
			if p.Port != nil && p.Port.StrVal != "" {
				// A name means another number on every pod.
				all = append(all, namedPort(p, peers)...)
				continue
			}
			allow.Ports = append(allow.Ports, portRanges(p, nil)...)
			matchable = true
		}
		if matchable {
			all = append(all, allow)
		}
	}
	return all
}

// blocks is the ipBlock of a peer, without its exceptions.
func (c *compiler) blocks(policy *networkingv1.NetworkPolicy, peer networkingv1.NetworkPolicyPeer) []relayproto.AddrRange {
	if peer.IPBlock == nil {
		return nil
	}
	block, err := netip.ParsePrefix(peer.IPBlock.CIDR)
	if err != nil {
		c.problem(policy, "ipBlock %q: %v", peer.IPBlock.CIDR, err)
		return nil
	}
	if !block.Addr().Is4() {
		return nil // the pod network has no IPv6
	}
	ranges := []relayproto.AddrRange{rangeOf(block)}
	for _, text := range peer.IPBlock.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil {
			c.problem(policy, "ipBlock except %q: %v", text, err)
			continue
		}
		if except.Addr().Is4() {
			ranges = without(ranges, rangeOf(except))
		}
	}
	return ranges
}

// selected are the pods that a peer selects.
func (c *compiler) selected(policy *networkingv1.NetworkPolicy, peer networkingv1.NetworkPolicyPeer) []Pod {
	if peer.IPBlock != nil || peer.PodSelector == nil && peer.NamespaceSelector == nil {
		return nil
	}
	podSelector, nsSelector := labels.Everything(), labels.Nothing()
	var err error
	if peer.PodSelector != nil {
		if podSelector, err = metav1.LabelSelectorAsSelector(peer.PodSelector); err != nil {
			c.problem(policy, "podSelector of a peer: %v", err)
			return nil
		}
	}
	if peer.NamespaceSelector != nil {
		if nsSelector, err = metav1.LabelSelectorAsSelector(peer.NamespaceSelector); err != nil {
			c.problem(policy, "namespaceSelector of a peer: %v", err)
			return nil
		}
	}
	var found []Pod
	for _, p := range c.pods {
		sameNamespace := peer.NamespaceSelector == nil && p.Namespace == policy.Namespace
		if (sameNamespace || peer.NamespaceSelector != nil && nsSelector.Matches(labels.Set(c.namespaces[p.Namespace]))) && podSelector.Matches(labels.Set(p.Labels)) {
			found = append(found, p)
		}
	}
	return found
}

func addresses(pods []Pod) []relayproto.AddrRange {
	var all []relayproto.AddrRange
	for _, p := range pods {
		for _, a := range p.Addrs {
			all = append(all, relayproto.AddrRange{First: a, Last: a})
		}
	}
	return all
}

// portRanges are the numbers that a port of a rule stands for; of a named one, those that the pods give it.
func portRanges(p networkingv1.NetworkPolicyPort, pods []Pod) []relayproto.PortRange {
	proto := protocol(p.Protocol)
	switch {
	case p.Port == nil:
		return []relayproto.PortRange{{Protocol: proto, First: 0, Last: 65535}}
	case p.Port.StrVal == "":
		r := relayproto.PortRange{Protocol: proto, First: uint16(p.Port.IntVal), Last: uint16(p.Port.IntVal)}
		if p.EndPort != nil {
			r.Last = uint16(*p.EndPort)
		}
		return []relayproto.PortRange{r}
	}
	var found []relayproto.PortRange
	for _, pod := range pods {
		for _, c := range pod.Ports {
			have := c.Protocol
			if c.Name == p.Port.StrVal && protocol(&have) == proto {
				found = append(found, relayproto.PortRange{Protocol: proto, First: uint16(c.ContainerPort), Last: uint16(c.ContainerPort)})
			}
		}
	}
	return found
}

// namedPort allows a named port of each pod under the number that it has there.
func namedPort(p networkingv1.NetworkPolicyPort, pods []Pod) []relayproto.Allow {
	var all []relayproto.Allow
	for _, pod := range pods {
		if ports := portRanges(p, []Pod{pod}); len(ports) > 0 {
			all = append(all, relayproto.Allow{Peers: merge(addresses([]Pod{pod})), Ports: ports})
		}
	}
	return all
}

func protocol(p *corev1.Protocol) relayproto.Protocol {
	if p == nil {
		return relayproto.TCP
	}
	switch *p {
	case corev1.ProtocolUDP:
		return relayproto.UDP
	case corev1.ProtocolSCTP:
		return relayproto.SCTP
	}
	return relayproto.TCP
}
