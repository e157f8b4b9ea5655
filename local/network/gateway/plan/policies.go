package plan

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// A policy is one BackendTLSPolicy, compiled.
type policy struct {
	object   *gatewayv1.BackendTLSPolicy
	accepted verdict
	resolved verdict
	tls      *routing.BackendTLS // nil when nothing can be verified by it
	gateways []*gateway          // that use a Service of it
}

// A target is a Service's port by name; "" for all of its ports.
type target struct{ namespace, service, port string }

func (c *compiler) policy(object *gatewayv1.BackendTLSPolicy) {
	p := &policy{object: object, accepted: good(gatewayv1.PolicyReasonAccepted), resolved: good(gatewayv1.BackendTLSPolicyReasonResolvedRefs)}
	c.out.policies = append(c.out.policies, p)
	c.readPolicy(p)
	for _, ref := range object.Spec.TargetRefs {
		if ref.Group != "" || ref.Kind != "Service" {
			p.accepted = bad(gatewayv1.PolicyReasonTargetNotFound, fmt.Sprintf("%s %s: the policy is for Services only", ref.Kind, ref.Name))
			continue
		}
		t := target{object.Namespace, string(ref.Name), text(ref.SectionName, "")}
		if older := c.policies[t]; len(older) > 0 {
			p.accepted = bad(gatewayv1.PolicyReasonConflicted, fmt.Sprintf("the older policy %s has service %s", older[0].object.Name, ref.Name))
		}
		c.policies[t] = append(c.policies[t], p)
	}
}

// readPolicy reads how endpoints are verified.
func (c *compiler) readPolicy(p *policy) {
	v := p.object.Spec.Validation
	secure := &routing.BackendTLS{ServerName: string(v.Hostname)}
	var all authorities
	for _, ref := range v.CACertificateRefs {
		switch err := all.read(c, string(ref.Group), string(ref.Kind), p.object.Namespace, string(ref.Name)); {
		case errors.Is(err, errAuthorityKind):
			p.resolved = bad(gatewayv1.BackendTLSPolicyReasonInvalidKind, err.Error())
		case err != nil:
			p.resolved = bad(gatewayv1.BackendTLSPolicyReasonInvalidCACertificateRef, err.Error())
		}
	}
	switch known := text(v.WellKnownCACertificates, ""); {
	case len(v.CACertificateRefs) > 0 && !p.resolved.ok:
		if all.roots == nil {
			p.accepted = bad(gatewayv1.BackendTLSPolicyReasonNoValidCACertificate, p.resolved.message)
		}
		return
	case len(v.CACertificateRefs) == 0 && known != string(gatewayv1.WellKnownCACertificatesSystem):
		p.accepted = bad(gatewayv1.PolicyReasonInvalid, fmt.Sprintf("the well-known authorities %q are unknown, only System is known", known))
		return
	}
	secure.Roots = all.roots
	for _, san := range v.SubjectAltNames {
		if san.Type == gatewayv1.URISubjectAltNameType {
			secure.URIs = append(secure.URIs, string(san.URI))
		} else {
			secure.Names = append(secure.Names, string(san.Hostname))
		}
	}
	secure.ID = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", secure.ServerName, secure.Names, secure.URIs, all.pem)))
	p.tls = secure
}

func (p *policy) usedBy(g *gateway) {
	if !slices.Contains(p.gateways, g) {
		p.gateways = append(p.gateways, g)
	}
}

// maxAncestors is how many the API takes.
const maxAncestors = 16

// policyStatus is what to say about a policy, beside what other controllers do.
func policyStatus(p *policy) gatewayv1.PolicyStatus {
	s := gatewayv1.PolicyStatus{Ancestors: []gatewayv1.PolicyAncestorStatus{}}
	before := map[string][]metav1.Condition{}
	for _, a := range p.object.Status.Ancestors {
		if a.ControllerName == ControllerName {
			before[text(a.AncestorRef.Namespace, "")+"/"+string(a.AncestorRef.Name)] = a.Conditions
		} else {
			s.Ancestors = append(s.Ancestors, a)
		}
	}
	for _, g := range p.gateways {
		if len(s.Ancestors) == maxAncestors {
			break
		}
		group, kind, namespace := gatewayv1.Group(gatewayv1.GroupName), gatewayv1.Kind("Gateway"), gatewayv1.Namespace(g.object.Namespace)
		a := gatewayv1.PolicyAncestorStatus{
			AncestorRef:    gatewayv1.ParentReference{Group: &group, Kind: &kind, Namespace: &namespace, Name: gatewayv1.ObjectName(g.object.Name)},
			ControllerName: ControllerName, Conditions: slices.Clone(before[g.object.Namespace+"/"+g.object.Name]),
		}
		condition(&a.Conditions, p.object.Generation, string(gatewayv1.PolicyConditionAccepted), p.accepted)
		condition(&a.Conditions, p.object.Generation, string(gatewayv1.BackendTLSPolicyConditionResolvedRefs), p.resolved)
		s.Ancestors = append(s.Ancestors, a)
	}
	return s
}
