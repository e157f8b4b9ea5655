package routing

import (
	"cmp"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"
)

// A Demand is what a request must have besides its host and path.
type Demand struct {
	Method  string // "" for any
	Headers []Value
	Queries []Value
}

// A Value is a header or a query parameter and what it must be: Text, or what Pattern matches as a whole.
type Value struct {
	Name    string
	Text    string
	Pattern *regexp.Regexp
}

func (v Value) is(have string) bool {
	if v.Pattern != nil {
		return v.Pattern.MatchString(have)
	}
	return have == v.Text
}

// meets reports whether a request has all of it.
func (d *Demand) meets(req *http.Request) bool {
	if d == nil {
		return true
	}
	if d.Method != "" && d.Method != req.Method {
		return false
	}
	for _, h := range d.Headers {
		have, ok := req.Header[textproto.CanonicalMIMEHeaderKey(h.Name)]
		if !ok || !h.is(strings.Join(have, ",")) {
			return false
		}
	}
	if len(d.Queries) == 0 {
		return true
	}
	query := req.URL.Query()
	for _, q := range d.Queries {
		if have, ok := query[q.Name]; !ok || !q.is(have[0]) {
			return false
		}
	}
	return true
}

// compare puts the more demanding first, in the order of the Gateway API: a method, then more headers, then more query
// parameters.
func (d *Demand) compare(other *Demand) int {
	var none Demand
	if d == nil {
		d = &none
	}
	if other == nil {
		other = &none
	}
	return cmp.Or(-cmp.Compare(min(len(d.Method), 1), min(len(other.Method), 1)),
		cmp.Compare(len(other.Headers), len(d.Headers)), cmp.Compare(len(other.Queries), len(d.Queries)))
}
