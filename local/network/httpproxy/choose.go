package httpproxy

import (
	"net/http"
)

// A Share is a backend that takes its weight's part of a Route's requests.
type Share struct {
	Backend *Backend // nil when there is none to be had: see Unavailable
	Weight  int      // at least 1
	// Unavailable says why there is no backend.
	Unavailable       string
	Request, Response *HeaderChange
}

// decide writes down where a request goes. roll is a random number in [0, n).
func (d *routing) decide(r *Route, req *http.Request, roll func(n int) int) {
	d.route, d.unavailable = r, r.Unavailable
	if len(r.Shares) == 0 {
		d.backend = r.Choose(req, roll)
		return
	}
	share := chooseShare(r.Shares, roll)
	d.share, d.backend, d.unavailable = share, share.Backend, share.Unavailable
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
