package httpproxy

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// A Table says where requests go. It is immutable once built.
type Table struct {
	exact    map[string][]*Route // by host
	wildcard map[string][]*Route // by the part of the host after "*"
	any      []*Route
	fallback *Route // of an Ingress's default backend
}

// PathKind is how a Route's path is compared.
type PathKind int

// The kinds, from the most to the least specific.
const (
	PathExact   PathKind = iota
	PathElement          // whole elements: /a matches /a and /a/b
	PathText             // any text that starts so, as nginx does for ImplementationSpecific
	PathRegexp
)

// A Route is one rule: what it matches and what it does.
type Route struct {
	Owner    string // namespace/name of the object it is from, for messages
	Host     string // as written: "", "example.org" or "*.example.org"
	Kind     PathKind
	Path     string
	Regexp   *regexp.Regexp // for PathRegexp
	Priority int            // ties are broken by age: lower first

	// Demand is what else a request must have; nil for nothing.
	Demand *Demand
	// AnyDepth makes "*.example.org" cover a.b.example.org too, as the Gateway API has it and Ingress has not.
	AnyDepth bool

	Redirect *Redirect
	Rewrite  string // replaces the path; $1 and so on are groups of Regexp
	// PathChange replaces the path, or the part of it that Path is.
	PathChange *PathChange
	// RootTo redirects requests for / alone.
	RootTo   string
	Backend  *Backend
	Canaries []Canary
	// Shares, when there are any, are chosen from instead of Backend.
	Shares []Share
	// Unavailable says why there is no backend, for the page that is served instead, with the status UnavailableCode (503
	// when 0).
	Unavailable     string
	UnavailableCode int
	// HTTPSRedirect sends plain requests to the same place over TLS.
	HTTPSRedirect bool
	UpstreamHost  string
	// StickyCookie, when not empty, is the cookie by which a client stays on an endpoint.
	StickyCookie string
	// Request and Response change headers on the way.
	Request, Response *HeaderChange
	CORS              *CORS
	Mirrors           []Mirror
	// Timeout bounds a request, EndpointTimeout each attempt at one of its endpoints; 0 for no bound.
	Timeout, EndpointTimeout time.Duration
}

// A Backend is a Service's port.
type Backend struct {
	Service  relayproto.Key
	Port     uint16
	Protocol Protocol
	TLS      *BackendTLS // when the protocol has it; nil trusts any endpoint
}

// Protocol is what is spoken to endpoints.
type Protocol string

// The protocols of the backend-protocol annotation.
const (
	HTTP  Protocol = "HTTP"
	HTTPS Protocol = "HTTPS"
	GRPC  Protocol = "GRPC"
	GRPCS Protocol = "GRPCS"
)

// A Canary takes some of a Route's requests.
type Canary struct {
	Backend Backend
	Header  string // by this header: "always", "never", or HeaderValue
	Value   string
	Pattern *regexp.Regexp
	Cookie  string // by this cookie: "always" or "never"
	Weight  int    // of Total
	Total   int
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

func (r *Route) matches(path string) bool {
	switch r.Kind {
	case PathExact:
		return path == r.Path
	case PathElement:
		prefix := strings.TrimSuffix(r.Path, "/")
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	case PathText:
		return strings.HasPrefix(path, r.Path)
	}
	return r.Regexp.MatchString(path)
}

// Rewritten is the path that the backend sees.
func (r *Route) Rewritten(path string) string {
	if r.Rewrite == "" {
		return path
	}
	if r.Regexp == nil {
		return groupRef.ReplaceAllString(r.Rewrite, "")
	}
	m := r.Regexp.FindStringSubmatchIndex(path)
	if m == nil {
		return path
	}
	// nginx writes $1; Go would read $1x as a name.
	template := groupRef.ReplaceAllString(r.Rewrite, "$${$1}")
	out := string(r.Regexp.ExpandString(nil, template, path, m))
	if !strings.HasPrefix(out, "/") {
		out = "/" + out
	}
	return out
}

var groupRef = regexp.MustCompile(`\$(\d+)`)
