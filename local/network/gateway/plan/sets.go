package plan

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// listenerSet adds the listeners of a ListenerSet to its Gateway's, when that is one of ours and takes it.
func (c *compiler) listenerSet(object *gatewayv1.ListenerSet) {
	ref := object.Spec.ParentRef
	if text(ref.Group, gatewayv1.GroupName) != gatewayv1.GroupName || text(ref.Kind, "Gateway") != "Gateway" {
		return
	}
	g := c.byName[text(ref.Namespace, object.Namespace)+"/"+string(ref.Name)]
	if g == nil {
		return
	}
	set := &listenerSet{object: object, gateway: g}
	c.out.sets = append(c.out.sets, set)
	c.sets[object.Namespace+"/"+object.Name] = set
	switch {
	case g.trouble != nil:
		v := bad(gatewayv1.ListenerSetReasonParentNotAccepted, g.trouble.message)
		set.trouble = &v
	case !c.takes(g, object.Namespace):
		v := bad(gatewayv1.ListenerSetReasonNotAllowed, fmt.Sprintf(
			"the allowedListeners of gateway %s/%s don't take those of namespace %s", g.object.Namespace, g.object.Name, object.Namespace))
		set.trouble = &v
	default:
		for _, e := range object.Spec.Listeners {
			set.listeners = append(set.listeners, c.listener(g, set, &gatewayv1.Listener{
				Name: e.Name, Hostname: e.Hostname, Port: e.Port, Protocol: e.Protocol, TLS: e.TLS, AllowedRoutes: e.AllowedRoutes,
			}))
		}
	}
}

// takes reports whether a Gateway takes ListenerSets of a namespace. Without a word about it, it takes none.
func (c *compiler) takes(g *gateway, namespace string) bool {
	a := g.object.Spec.AllowedListeners
	if a == nil || a.Namespaces == nil || a.Namespaces.From == nil {
		return false
	}
	return c.isFrom(*a.Namespaces.From, a.Namespaces.Selector, namespace, g.object.Namespace)
}

// status is what to say about a ListenerSet.
func (s *listenerSet) status(at Served) gatewayv1.ListenerSetStatus {
	st := *s.object.Status.DeepCopy()
	before := st.Listeners
	st.Listeners = nil
	done := 0
	for _, l := range s.listeners {
		v, _, _ := l.programmed(at)
		if v.ok {
			done++
		}
		var conditions []metav1.Condition
		if i := slices.IndexFunc(before, func(b gatewayv1.ListenerEntryStatus) bool { return b.Name == l.spec.Name }); i >= 0 {
			conditions = before[i].Conditions
		}
		st.Listeners = append(st.Listeners, gatewayv1.ListenerEntryStatus(listenerStatus(l, conditions, v)))
	}
	accepted, programmed := s.accepted(), good(gatewayv1.ListenerSetReasonProgrammed)
	switch {
	case !accepted.ok:
		programmed = accepted
	case done == 0:
		programmed = bad(gatewayv1.ListenerSetReasonPending, "no port is open")
	}
	condition(&st.Conditions, s.object.Generation, string(gatewayv1.ListenerSetConditionAccepted), accepted)
	condition(&st.Conditions, s.object.Generation, string(gatewayv1.ListenerSetConditionProgrammed), programmed)
	return st
}

func (s *listenerSet) accepted() verdict {
	if s.trouble != nil {
		return *s.trouble
	}
	valid := len(matching(s.listeners, (*listener).served))
	v := verdict{ok: valid > 0, reason: string(gatewayv1.ListenerSetReasonListenersNotValid)}
	switch {
	case valid == len(s.listeners):
		v.reason = string(gatewayv1.ListenerSetReasonAccepted)
	case valid == 0:
		v.message = "none of its listeners can be served"
	default:
		v.message = "some of its listeners can't be served"
	}
	return v
}

// share finds the listeners that can't have the addresses that all Gateways share, because an older Gateway's wants
// something else of the same connections. They have their Gateway's own address alone.
func (p *Plan) share() {
	type connections struct {
		port gatewayv1.PortNumber
		host string
	}
	ports, hosts := map[gatewayv1.PortNumber]*listener{}, map[connections]*listener{}
	for _, g := range p.gateways {
		for _, l := range g.listeners {
			if !l.served() {
				continue
			}
			at := connections{l.spec.Port, l.host}
			port, host := ports[l.spec.Port], hosts[at]
			switch {
			case port != nil && port.secure() != l.secure():
				l.displaced = port
			case host != nil && l.secure() && (host.stream() != l.stream() || host.terminates() != l.terminates() || !host.clients.same(l.clients)):
				l.displaced = host
			default:
				if port == nil {
					ports[l.spec.Port] = l
				}
				if host == nil {
					hosts[at] = l
				}
			}
		}
	}
}
