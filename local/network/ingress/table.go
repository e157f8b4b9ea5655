package ingress

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"

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

	Redirect *Redirect
	Rewrite  string // replaces the path; $1 and so on are groups of Regexp
	// RootTo redirects requests for / alone.
	RootTo   string
	Backend  *Backend
	Canaries []Canary
	// Unavailable says why there is no backend, for the page that is served instead.
	Unavailable string
	// HTTPSRedirect sends plain requests to the same place over TLS.
	HTTPSRedirect bool
	UpstreamHost  string
	// StickyCookie, when not empty, is the cookie by which a client stays on an endpoint.
	StickyCookie string
	Headers      []HeaderChange
}

// A Backend is a Service's port.
type Backend struct {
	Service  relayproto.Key
	Port     uint16
	Protocol Protocol
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

// A Redirect answers instead of a backend.
type Redirect struct {
	Code int
	To   string // absolute URL
}

// A HeaderChange sets a header of the response.
type HeaderChange struct{ Name, Value string }

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

// buildTable orders routes for matching.
func buildTable(routes []*Route, fallback *Route) *Table {
	t := &Table{exact: map[string][]*Route{}, wildcard: map[string][]*Route{}, fallback: fallback}
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
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Priority, b.Priority))
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
func (t *Table) Find(host, path string) *Route {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if r, found := match(t.exact[host], path); found {
		return t.or(r)
	}
	if dot := strings.IndexByte(host, '.'); dot > 0 {
		if r, found := match(t.wildcard[host[dot:]], path); found {
			return t.or(r)
		}
	}
	r, _ := match(t.any, path)
	return t.or(r)
}

func (t *Table) or(r *Route) *Route {
	if r == nil {
		return t.fallback
	}
	return r
}

// match reports found when there are routes to choose from, even if none matches.
func match(list []*Route, path string) (r *Route, found bool) {
	for _, r := range list {
		if r.matches(path) {
			return r, true
		}
	}
	return nil, len(list) > 0
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

// rewrite is the path that the backend sees.
func (r *Route) rewrite(path string) string {
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

// choose picks the backend of a request. roll is a random number in [0, n).
func (r *Route) choose(req *http.Request, roll func(n int) int) *Backend {
	for i := range r.Canaries {
		c := &r.Canaries[i]
		if took, decided := c.decide(req); decided {
			if took {
				return &c.Backend
			}
			continue
		}
		if c.Weight > 0 && roll(max(c.Total, 1)) < c.Weight {
			return &c.Backend
		}
	}
	return r.Backend
}

// decide reports whether a header or a cookie decides, and how; otherwise the weight does.
func (c *Canary) decide(req *http.Request) (take, decided bool) {
	if c.Header != "" {
		v := req.Header.Get(c.Header)
		switch {
		case c.Pattern != nil && v != "":
			if c.Pattern.MatchString(v) {
				return true, true
			}
		case c.Value != "":
			if v == c.Value {
				return true, true
			}
		case v == "always":
			return true, true
		case v == "never":
			return false, true
		}
	}
	if c.Cookie != "" {
		if cookie, err := req.Cookie(c.Cookie); err == nil {
			switch cookie.Value {
			case "always":
				return true, true
			case "never":
				return false, true
			}
		}
	}
	return false, false
}
