package routing

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// An Entrance is the port that a request came to.
type Entrance interface {
	Port() int
	// Served is where another port that was asked for is to be found by who came this way.
	Served(port int) int
}

// Redirected says where a request for a host is sent instead of being served; "" for nowhere.
func (r *Route) Redirected(req *http.Request, host string, at Entrance) (to string, code int) {
	if r.HTTPSRedirect && req.TLS == nil {
		if port := at.Served(443); port != 443 {
			host = net.JoinHostPort(host, strconv.Itoa(port))
		}
		return "https://" + host + req.URL.RequestURI(), http.StatusPermanentRedirect
	}
	if r.Redirect != nil {
		return r.Redirect.location(req, host, r.Path, at), r.Redirect.Code
	}
	if r.RootTo != "" && req.URL.Path == "/" {
		return r.RootTo, http.StatusFound
	}
	return "", 0
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

func (r *Redirect) location(req *http.Request, host, matched string, at Entrance) string {
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
			port = at.Port()
		}
	case port == 0:
		port = at.Served(wellKnown[scheme])
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
