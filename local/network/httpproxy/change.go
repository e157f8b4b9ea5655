package httpproxy

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A HeaderChange edits the headers of a request or a response.
type HeaderChange struct {
	Set, Add []Header
	Remove   []string
}

// A Header is a name and a value.
type Header struct{ Name, Value string }

func (c *HeaderChange) apply(h http.Header) {
	if c == nil {
		return
	}
	for _, name := range c.Remove {
		h.Del(name)
	}
	for _, s := range c.Set {
		h.Set(s.Name, s.Value)
	}
	for _, a := range c.Add {
		h.Add(a.Name, a.Value)
	}
}

// host is what a request's Host becomes, when that is among the headers that are set.
func (c *HeaderChange) host() string {
	if c != nil {
		for _, s := range c.Set {
			if strings.EqualFold(s.Name, "Host") {
				return s.Value
			}
		}
	}
	return ""
}

// A PathChange is a new path, or with Prefix a new beginning in place of the path that the Route has.
type PathChange struct {
	To     string
	Prefix bool
}

// apply returns the changed path. matched is what the Route compares paths with.
func (c *PathChange) apply(path, matched string) string {
	if c == nil {
		return path
	}
	if !c.Prefix {
		return c.To
	}
	rest := strings.TrimPrefix(path, strings.TrimSuffix(matched, "/"))
	to := strings.TrimSuffix(c.To, "/")
	if rest != "" && !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	if to+rest == "" {
		return "/"
	}
	return to + rest
}

// A Redirect answers instead of a backend: with To, or with the request's own URL changed in what the other fields say.
type Redirect struct {
	Code   int
	To     string // absolute URL
	Scheme string
	Host   string
	Port   int
	Path   *PathChange
}

// wellKnown are the ports that a URL need not name.
var wellKnown = map[string]int{"http": 80, "https": 443}

// location is where a request is sent. at is the port it came to; served says at which port of this machine another one
// is to be found.
func (r *Redirect) location(req *http.Request, host, matched string, at int, served func(port int) int) string {
	if r.To != "" {
		return r.To
	}
	scheme, port := r.Scheme, r.Port
	switch {
	case scheme == "":
		scheme = "http"
		if req.TLS != nil {
			scheme = "https"
		}
		if port == 0 {
			port = at
		}
	case port == 0:
		port = served(wellKnown[scheme])
	}
	if r.Host != "" {
		host = r.Host
	}
	if port != wellKnown[scheme] {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	to := url.URL{Scheme: scheme, Host: host, Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery}
	if r.Path != nil {
		to.Path, to.RawPath = r.Path.apply(req.URL.Path, matched), ""
	}
	return to.String()
}

// CORS says which other sites' pages may read a Route's answers.
type CORS struct {
	Origins     []string // "*", or scheme://host[:port] where the host may begin with "*."
	Methods     []string // "*" for any
	Headers     []string // "*" for any
	Expose      []string
	Credentials bool
	MaxAge      int // seconds; 0 for the client's default
}

// allows reports whether a page of this origin may.
func (c *CORS) allows(origin string) bool {
	return slices.ContainsFunc(c.Origins, func(o string) bool {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
		before, after, wild := strings.Cut(strings.ToLower(o), "*")
		origin := strings.ToLower(origin)
		return wild && len(origin) > len(before)+len(after) && strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after)
	})
}

// preflight reports whether a request asks for leave, and answers it.
func (c *CORS) preflight(w http.ResponseWriter, req *http.Request) bool {
	if c == nil || req.Method != http.MethodOptions || req.Header.Get("Origin") == "" || req.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	if c.origin(h, req) {
		allow := func(name string, list []string, asked string) {
			if slices.Contains(list, "*") && (c.Credentials || asked == "") {
				list = []string{asked} // with credentials a browser takes "*" literally
			}
			if v := strings.Join(list, ", "); v != "" {
				h.Set(name, v)
			}
		}
		allow("Access-Control-Allow-Methods", c.Methods, req.Header.Get("Access-Control-Request-Method"))
		allow("Access-Control-Allow-Headers", c.Headers, req.Header.Get("Access-Control-Request-Headers"))
		if c.MaxAge > 0 {
			h.Set("Access-Control-Max-Age", strconv.Itoa(c.MaxAge))
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// answer adds what a page must be told to a response.
func (c *CORS) answer(h http.Header, req *http.Request) {
	if c == nil || req.Header.Get("Origin") == "" {
		return
	}
	c.origin(h, req)
}

func (c *CORS) origin(h http.Header, req *http.Request) bool {
	origin := req.Header.Get("Origin")
	if !c.allows(origin) {
		return false
	}
	if slices.Contains(c.Origins, "*") && !c.Credentials && req.Header.Get("Cookie") == "" && req.Header.Get("Authorization") == "" {
		origin = "*"
	} else {
		h.Add("Vary", "Origin")
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.Expose) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.Expose, ", "))
	}
	return true
}
