package routing

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

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

// Preflight reports whether a request asks for leave, and answers it. A nil CORS leaves that to the backend.
func (c *CORS) Preflight(w http.ResponseWriter, req *http.Request) bool {
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
