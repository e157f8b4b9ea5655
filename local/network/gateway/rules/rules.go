package rules

import (
	"fmt"
	"net/http"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// Rules are a route's, not yet on any host.
type Rules struct {
	templates   []routing.Route
	count       int      // of rules
	dropped     int      // of them, those that ask for what is not served
	unsupported []string // what that is
}

// At are the rules on a host. age orders them among those of other routes, as the Gateway API breaks ties: older ones are lower.
func (r *Rules) At(host string, age int) []*routing.Route {
	list := make([]*routing.Route, len(r.templates))
	for i, t := range r.templates {
		// Routes of one object keep their order: the first of two equal ones has it.
		t.Host, t.Priority = host, age<<16+i
		list[i] = &t
	}
	return list
}

// Useless says what is not served when no rule can be served as it is meant; "" when some can.
func (r *Rules) Useless() string {
	if r.count == 0 || r.dropped < r.count {
		return ""
	}
	return strings.Join(r.unsupported, "; ")
}

// Partial says what is not served when some rules can be; "" when all can, or none.
func (r *Rules) Partial() string {
	if r.dropped == 0 || r.dropped == r.count {
		return ""
	}
	return strings.Join(r.unsupported, "; ")
}

func (r *Rules) unsupport(format string, args ...any) {
	r.unsupported = append(r.unsupported, fmt.Sprintf(format, args...))
}

// Resolve finds the backend that a reference is to. It returns nil and why when there is none to be had.
type Resolve func(ref gatewayv1.BackendObjectReference) (found *routing.Backend, why string)

// fail answers a rule's requests with an error: what is asked for must not be left out silently.
func fail(t *routing.Route, why string) {
	t.Unavailable, t.UnavailableCode = why, http.StatusInternalServerError
	t.Backend, t.Shares, t.Redirect, t.Mirrors = nil, nil, nil, nil
}

// A backend is one that a rule refers to, with what its own filters change.
type backend struct {
	ref   gatewayv1.BackendRef
	share routing.Share
}

// choose gives a rule its backends.
func choose(t *routing.Route, refs []backend, resolve Resolve) {
	total := 0
	for _, b := range refs {
		s := b.share
		s.Weight = 1
		if b.ref.Weight != nil {
			s.Weight = int(*b.ref.Weight)
		}
		s.Backend, s.Unavailable = resolve(b.ref.BackendObjectReference)
		if s.Weight > 0 {
			total += s.Weight
			t.Shares = append(t.Shares, s)
		}
	}
	switch {
	case total == 0:
		fail(t, "the rule has no backend")
	case len(t.Shares) == 1 && t.Shares[0].Request == nil && t.Shares[0].Response == nil:
		t.Backend, t.Unavailable, t.Shares = t.Shares[0].Backend, t.Shares[0].Unavailable, nil
	}
	t.UnavailableCode = http.StatusInternalServerError
}
