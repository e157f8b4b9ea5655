package routing

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// A Table says where requests go. It is immutable once built.
type Table struct {
	exact    map[string][]*Route // by host
	wildcard map[string][]*Route // by the part of the host after "*"
	any      []*Route
	fallback *Route // of an Ingress's default backend
}

// BuildTable orders routes for matching. Hosts are known to the table even when no route has them.
func BuildTable(routes []*Route, fallback *Route, hosts ...string) *Table {
	t := &Table{exact: map[string][]*Route{}, wildcard: map[string][]*Route{}, fallback: fallback}
	for _, h := range hosts {
		if rest, ok := strings.CutPrefix(h, "*"); ok {
			t.wildcard[rest] = nil
		} else if h != "" {
			t.exact[h] = nil
		}
	}
	for _, r := range routes {
		switch {
		case r.Host == "":
			t.any = append(t.any, r)
		case strings.HasPrefix(r.Host, "*"):
			t.wildcard[r.Host[1:]] = append(t.wildcard[r.Host[1:]], r)
		default:
			t.exact[r.Host] = append(t.exact[r.Host], r)
		}
	}
	for _, list := range t.exact {
		sortRoutes(list)
	}
	for _, list := range t.wildcard {
		sortRoutes(list)
	}
	sortRoutes(t.any)
	return t
}

func sortRoutes(list []*Route) {
	slices.SortStableFunc(list, func(a, b *Route) int {
		exactA, exactB := a.Kind == PathExact, b.Kind == PathExact
		switch {
		case exactA != exactB:
			if exactA {
				return -1
			}
			return 1
		case len(a.Path) != len(b.Path):
			return cmp.Compare(len(b.Path), len(a.Path))
		}
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Demand.compare(b.Demand), cmp.Compare(a.Priority, b.Priority))
	})
}

// Hosts are the hosts the table knows, for messages.
func (t *Table) Hosts() []string {
	var hosts []string
	for h := range t.exact {
		hosts = append(hosts, h)
	}
	for h := range t.wildcard {
		hosts = append(hosts, "*"+h)
	}
	slices.Sort(hosts)
	return hosts
}

// Find returns the route of a request, or nil. A host that has routes is served by these alone, as nginx does it.
func (t *Table) Find(host string, req *http.Request) *Route {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if list, known := t.exact[host]; known {
		return t.or(match(list, req, false))
	}
	if len(t.wildcard) > 0 {
		deep := false
		for dot := strings.IndexByte(host, '.'); dot > 0; {
			if list, known := t.wildcard[host[dot:]]; known && (!deep || len(list) == 0 || slices.ContainsFunc(list, func(r *Route) bool { return r.AnyDepth })) {
				return t.or(match(list, req, deep))
			}
			next := strings.IndexByte(host[dot+1:], '.')
			if next < 0 {
				break
			}
			dot, deep = dot+1+next, true
		}
	}
	return t.or(match(t.any, req, false))
}

func (t *Table) or(r *Route) *Route {
	if r == nil {
		return t.fallback
	}
	return r
}

func match(list []*Route, req *http.Request, deep bool) *Route {
	for _, r := range list {
		if (!deep || r.AnyDepth) && r.matches(req.URL.Path) && r.Demand.meets(req) {
			return r
		}
	}
	return nil
}
