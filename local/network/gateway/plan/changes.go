package plan

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// An Object is one of the Gateway API's.
type Object interface {
	metav1.Object
	runtime.Object
}

// Changes are the objects whose status is to be another one: copies that have it.
func (p *Plan) Changes(at Served) []Object {
	var list []Object
	for _, class := range p.classes {
		now := class.DeepCopy()
		now.Status = classStatus(class)
		list = changed(list, now, class.Status, now.Status)
	}
	attached := map[*gateway]int32{}
	for _, set := range p.sets {
		now := set.object.DeepCopy()
		now.Status = set.status(at)
		list = changed(list, now, set.object.Status, now.Status)
		if set.accepted().ok {
			attached[set.gateway]++
		}
	}
	for _, policy := range p.policies {
		now := policy.object.DeepCopy()
		now.Status = policyStatus(policy)
		list = changed(list, now, policy.object.Status, now.Status)
	}
	for _, g := range p.gateways {
		now := g.object.DeepCopy()
		now.Status = gatewayStatus(g, at)
		if n := attached[g]; n > 0 || p.attachable {
			now.Status.AttachedListenerSets = &n
		}
		list = changed(list, now, g.object.Status, now.Status)
	}
	for _, r := range p.routes {
		now := r.object.DeepCopyObject().(Object)
		status := routeStatus(r)
		switch now := now.(type) {
		case *gatewayv1.HTTPRoute:
			now.Status.RouteStatus = status
		case *gatewayv1.GRPCRoute:
			now.Status.RouteStatus = status
		case *gatewayv1.TLSRoute:
			now.Status.RouteStatus = status
		}
		list = changed(list, now, *r.status, status)
	}
	return list
}

func changed(list []Object, now Object, before, after any) []Object {
	if equality.Semantic.DeepEqual(before, after) {
		return list
	}
	return append(list, now)
}
