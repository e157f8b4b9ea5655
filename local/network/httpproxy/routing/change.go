package routing

import (
	"net/http"
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
