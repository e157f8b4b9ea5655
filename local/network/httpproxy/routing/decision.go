package routing

import (
	"cmp"
	"net/http"
)

// A Decision is where a request, or a connection, goes by its Route.
type Decision struct {
	Route   *Route
	Backend *Backend // nil when there is none to be had
	// Unavailable says why there is no Backend, and Code with which status to answer then.
	Unavailable string
	Code        int

	share *Share // of the Route's, when it has some
}

// Decide chooses a backend. roll is a random number in [0, n); req is nil for a connection that is carried.
func (r *Route) Decide(req *http.Request, roll func(n int) int) Decision {
	d := Decision{Route: r, Unavailable: r.Unavailable, Code: cmp.Or(r.UnavailableCode, http.StatusServiceUnavailable)}
	if len(r.Shares) == 0 {
		d.Backend = r.Choose(req, roll)
		return d
	}
	d.share = chooseShare(r.Shares, roll)
	d.Backend, d.Unavailable = d.share.Backend, d.share.Unavailable
	return d
}

// Change changes a request on its way to the endpoint. in is the request as it came.
func (d *Decision) Change(out, in *http.Request) {
	r := d.Route
	out.Host = cmp.Or(r.UpstreamHost, in.Host)
	switch {
	case r.Rewrite != "":
		out.URL.Path, out.URL.RawPath = r.Rewritten(in.URL.Path), ""
	case r.PathChange != nil:
		out.URL.Path, out.URL.RawPath = r.PathChange.apply(in.URL.Path, r.Path), ""
	}
	r.Request.apply(out.Header)
	out.Host = cmp.Or(r.Request.host(), out.Host)
	if s := d.share; s != nil {
		s.Request.apply(out.Header)
	}
}

// ChangeAnswer changes the headers of an answer on its way back.
func (d *Decision) ChangeAnswer(h http.Header, in *http.Request) {
	d.Route.CORS.answer(h, in)
	d.Route.Response.apply(h)
	if s := d.share; s != nil {
		s.Response.apply(h)
	}
}

func chooseShare(shares []Share, roll func(n int) int) *Share {
	total := 0
	for i := range shares {
		total += shares[i].Weight
	}
	i := 0
	for at := roll(total); at >= shares[i].Weight; i++ {
		at -= shares[i].Weight
	}
	return &shares[i]
}

// Choose picks the backend of a request. roll is a random number in [0, n).
func (r *Route) Choose(req *http.Request, roll func(n int) int) *Backend {
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
