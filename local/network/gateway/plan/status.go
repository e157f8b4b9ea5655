package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/ingress"
)

// supported are the features of the Gateway API's conformance suite that work here, in order.
var supported = []gatewayv1.FeatureName{
	"BackendTLSPolicy", "BackendTLSPolicySANValidation",
	"GRPCRoute", "GRPCRouteNamedRouteRule", "Gateway", "GatewayAddressEmpty", "GatewayBackendClientCertificate",
	"GatewayFrontendClientCertificateValidation", "GatewayFrontendClientCertificateValidationInsecureFallback",
	"GatewayHTTPListenerIsolation", "GatewayHTTPSListenerDetectMisdirectedRequests", "GatewayPort8080", "GatewayStaticAddresses",
	"HTTPRoute", "HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode", "HTTPRoute308RedirectStatusCode",
	"HTTPRouteBackendProtocolH2C", "HTTPRouteBackendProtocolWebSocket", "HTTPRouteBackendRequestHeaderModification",
	"HTTPRouteBackendTimeout", "HTTPRouteCORS", "HTTPRouteDestinationPortMatching", "HTTPRouteHostRewrite",
	"HTTPRouteMethodMatching", "HTTPRouteNamedRouteRule", "HTTPRouteParentRefPort", "HTTPRoutePathRedirect",
	"HTTPRoutePathRewrite", "HTTPRoutePortRedirect", "HTTPRouteQueryParamMatching", "HTTPRouteRequestMirror",
	"HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror", "HTTPRouteRequestTimeout",
	"HTTPRouteResponseHeaderModification", "HTTPRouteSchemeRedirect", "ListenerSet", "ReferenceGrant",
	"TLSRoute", "TLSRouteModeMixed", "TLSRouteModeTerminate",
}

// condition writes a condition down, with the time of its last change as it was.
func condition(list *[]metav1.Condition, generation int64, kind string, v verdict) {
	status := metav1.ConditionFalse
	if v.ok {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(list, metav1.Condition{
		Type: kind, Status: status, Reason: v.reason, Message: v.message, ObservedGeneration: generation,
	})
}

// classStatus is what to say about a GatewayClass of ours.
func classStatus(class *gatewayv1.GatewayClass) gatewayv1.GatewayClassStatus {
	s := *class.Status.DeepCopy()
	v := good(gatewayv1.GatewayClassReasonAccepted)
	if class.Spec.ParametersRef != nil {
		v = bad(gatewayv1.GatewayClassReasonInvalidParameters, "there are no parameters that could be referred to")
	}
	condition(&s.Conditions, class.Generation, string(gatewayv1.GatewayClassConditionStatusAccepted), v)
	s.SupportedFeatures = make([]gatewayv1.SupportedFeature, len(supported))
	for i, name := range supported {
		s.SupportedFeatures[i].Name = name
	}
	return s
}

// Served says how the proxy serves a listener.
type Served func(l ingress.Listener) ingress.Serving

// listenerStatus is what to say about a listener. before is what was said.
func listenerStatus(l *listener, before []metav1.Condition, v verdict) gatewayv1.ListenerStatus {
	s := gatewayv1.ListenerStatus{
		Name: l.spec.Name, SupportedKinds: l.kinds, AttachedRoutes: int32(len(l.attached)), Conditions: slices.Clone(before),
	}
	_, owner := l.owner()
	generation := owner.GetGeneration()
	condition(&s.Conditions, generation, string(gatewayv1.ListenerConditionAccepted), l.accepted)
	condition(&s.Conditions, generation, string(gatewayv1.ListenerConditionConflicted), l.conflict)
	condition(&s.Conditions, generation, string(gatewayv1.ListenerConditionResolvedRefs), l.resolved)
	condition(&s.Conditions, generation, string(gatewayv1.ListenerConditionProgrammed), v)
	return s
}

// gatewayStatus is what to say about a Gateway.
func gatewayStatus(g *gateway, at Served) gatewayv1.GatewayStatus {
	generation := g.object.Generation
	s := *g.object.Status.DeepCopy()
	before := s.Listeners
	s.Listeners = nil
	valid, listeners, programmed, reachable, own := 0, 0, 0, false, g.own.IsValid()
	var notes []string
	for _, l := range g.listeners {
		v, port, alone := l.programmed(at)
		if v.ok {
			programmed++
			reachable = reachable || port != 0
			own = own && alone
		}
		if l.set != nil {
			continue
		}
		listeners++
		if l.accepted.ok {
			valid++
		}
		if v.message != "" {
			notes = append(notes, fmt.Sprintf("listener %s: %s", l.spec.Name, v.message))
		}
		var conditions []metav1.Condition
		if i := slices.IndexFunc(before, func(b gatewayv1.ListenerStatus) bool { return b.Name == l.spec.Name }); i >= 0 {
			conditions = before[i].Conditions
		}
		s.Listeners = append(s.Listeners, listenerStatus(l, conditions, v))
	}
	accepted, done := good(gatewayv1.GatewayReasonAccepted), good(gatewayv1.GatewayReasonProgrammed)
	switch {
	case g.trouble != nil:
		accepted = *g.trouble
	case valid == 0:
		accepted = bad(gatewayv1.GatewayReasonListenersNotValid, "none of its listeners can be served")
	case valid < listeners:
		accepted = verdict{ok: true, reason: string(gatewayv1.GatewayReasonListenersNotValid), message: "some of its listeners can't be served"}
	}
	if programmed == 0 {
		done = bad(gatewayv1.GatewayReasonInvalid, "")
		if accepted.ok {
			done.reason = string(gatewayv1.GatewayReasonAddressNotAssigned)
		}
	}
	done.message = strings.Join(notes, "; ")
	if g.unusable != "" {
		done = bad(gatewayv1.GatewayReasonAddressNotUsable, g.unusable+" is not an address that a Gateway can have here: leave it out, or take a free one of 127.0.0.0/8")
	}
	condition(&s.Conditions, generation, string(gatewayv1.GatewayConditionAccepted), accepted)
	condition(&s.Conditions, generation, string(gatewayv1.GatewayConditionProgrammed), done)
	if g.identity != nil {
		condition(&s.Conditions, generation, string(gatewayv1.GatewayConditionResolvedRefs), g.identity.resolved)
	} else {
		meta.RemoveStatusCondition(&s.Conditions, string(gatewayv1.GatewayConditionResolvedRefs))
	}
	if insecure(g.object) {
		condition(&s.Conditions, generation, string(gatewayv1.GatewayConditionInsecureFrontendValidationMode),
			good(gatewayv1.GatewayReasonConfigurationChanged))
	} else {
		meta.RemoveStatusCondition(&s.Conditions, string(gatewayv1.GatewayConditionInsecureFrontendValidationMode))
	}
	s.Addresses = nil
	if own && programmed > 0 {
		kind := gatewayv1.IPAddressType
		s.Addresses = append(s.Addresses, gatewayv1.GatewayStatusAddress{Type: &kind, Value: g.own.String()})
	}
	if reachable {
		kind := gatewayv1.HostnameAddressType
		if g.shared == localIP {
			kind = gatewayv1.IPAddressType
		}
		s.Addresses = append(s.Addresses, gatewayv1.GatewayStatusAddress{Type: &kind, Value: g.shared})
	}
	return s
}

// programmed is whether a listener answers, and where.
func (l *listener) programmed(at Served) (v verdict, port uint16, own bool) {
	switch {
	case l.gateway.trouble != nil:
		return bad(gatewayv1.ListenerReasonInvalid, l.gateway.trouble.message), 0, false
	case l.gateway.unusable != "":
		return bad(gatewayv1.ListenerReasonPending, "the Gateway's address can't be had"), 0, false
	case l.conflict.ok:
		return bad(l.conflict.reason, l.conflict.message), 0, false
	case !l.accepted.ok:
		return bad(gatewayv1.ListenerReasonInvalid, l.accepted.message), 0, false
	case !l.served():
		return bad(gatewayv1.ListenerReasonInvalid, l.resolved.message), 0, false
	}
	is := at(l.offer())
	if d := l.displaced; d != nil {
		is.Problem = fmt.Sprintf("the older gateway %s/%s has port %d for something else", d.gateway.object.Namespace, d.gateway.object.Name, l.spec.Port)
	}
	switch {
	case is.Pending:
		return bad(gatewayv1.ListenerReasonPending, "the port is being opened"), 0, false
	case is.Shared == 0 && !is.Own:
		return bad(gatewayv1.ListenerReasonPending, "the port is not open: "+is.Problem), 0, false
	case is.Shared == 0:
		v.message = "on localhost the port is not open: " + is.Problem
	case is.Shared != uint16(l.spec.Port):
		v.message = fmt.Sprintf("on localhost it answers on port %d: %s", is.Shared, is.Problem)
	}
	v.ok, v.reason = true, string(gatewayv1.ListenerReasonProgrammed)
	return v, is.Shared, is.Own
}

// routeStatus is what to say about a route, beside what other controllers do.
func routeStatus(r *route) gatewayv1.RouteStatus {
	s := gatewayv1.RouteStatus{Parents: []gatewayv1.RouteParentStatus{}}
	var before []gatewayv1.RouteParentStatus
	for _, p := range r.status.Parents {
		if p.ControllerName == ControllerName {
			before = append(before, p)
		} else {
			s.Parents = append(s.Parents, p)
		}
	}
	generation := r.object.GetGeneration()
	for _, p := range r.parents {
		ps := gatewayv1.RouteParentStatus{ParentRef: p.ref, ControllerName: ControllerName}
		for _, b := range before {
			if sameParent(b.ParentRef, p.ref) {
				ps.Conditions = slices.Clone(b.Conditions)
			}
		}
		condition(&ps.Conditions, generation, string(gatewayv1.RouteConditionAccepted), p.accepted)
		condition(&ps.Conditions, generation, string(gatewayv1.RouteConditionResolvedRefs), p.resolved)
		if p.partial != "" {
			condition(&ps.Conditions, generation, string(gatewayv1.RouteConditionPartiallyInvalid),
				verdict{ok: true, reason: string(gatewayv1.RouteReasonUnsupportedValue), message: p.partial})
		} else {
			meta.RemoveStatusCondition(&ps.Conditions, string(gatewayv1.RouteConditionPartiallyInvalid))
		}
		s.Parents = append(s.Parents, ps)
	}
	return s
}

func sameParent(a, b gatewayv1.ParentReference) bool {
	same := func(a, b gatewayv1.ParentReference) bool {
		return text(a.Group, "") == text(b.Group, "") && text(a.Kind, "") == text(b.Kind, "") && a.Name == b.Name &&
			text(a.Namespace, "") == text(b.Namespace, "") && text(a.SectionName, "") == text(b.SectionName, "")
	}
	port := func(p gatewayv1.ParentReference) gatewayv1.PortNumber {
		if p.Port == nil {
			return 0
		}
		return *p.Port
	}
	return same(a, b) && port(a) == port(b)
}
