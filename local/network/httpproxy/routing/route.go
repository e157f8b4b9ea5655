package routing

import (
	"regexp"
	"strings"
	"time"
)

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
