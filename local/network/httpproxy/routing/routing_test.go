package routing

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// moved is a port 80 that is served on port 8080, as 443 is on 8443.
type moved struct{}

func (moved) Port() int { return 8080 }
func (moved) Served(port int) int {
	if port == 80 || port == 443 {
		return port + 8000
	}
	return port
}

func TestRedirectsLeadToWherePortsAreServed(t *testing.T) {
	plain := httptest.NewRequest("GET", "http://shop.test/old/a%20b?c=d", nil)
	secure := plain.Clone(t.Context())
	secure.TLS = &tls.ConnectionState{}
	for name, c := range map[string]struct {
		route Route
		req   *http.Request
		host  string
		want  string
	}{
		"to the same over TLS":            {Route{HTTPSRedirect: true}, plain, "shop.test", "https://shop.test:8443/old/a%20b?c=d"},
		"not when it is over TLS already": {Route{HTTPSRedirect: true}, secure, "shop.test", ""},
		"to a URL":                        {Route{Redirect: &Redirect{To: "https://else.test/"}}, plain, "shop.test", "https://else.test/"},
		"to another scheme's port":        {Route{Redirect: &Redirect{Scheme: "https"}}, plain, "shop.test", "https://shop.test:8443/old/a%20b?c=d"},
		"to a port that is named":         {Route{Redirect: &Redirect{Scheme: "https", Port: 443}}, plain, "shop.test", "https://shop.test/old/a%20b?c=d"},
		"to another host, same port":      {Route{Redirect: &Redirect{Host: "else.test"}}, plain, "shop.test", "http://else.test:8080/old/a%20b?c=d"},
		"to an address": {
			Route{Redirect: &Redirect{Scheme: "https", Port: 443, Path: &PathChange{To: "/"}}}, plain, "::1", "https://[::1]/?c=d",
		},
		"to another beginning of the path": {
			Route{Path: "/old", Redirect: &Redirect{Port: 80, Path: &PathChange{To: "/new/", Prefix: true}}}, plain, "shop.test", "http://shop.test/new/a%20b?c=d",
		},
		"from the root alone": {Route{RootTo: "/app"}, plain, "shop.test", ""},
	} {
		if got, _ := c.route.Redirected(c.req, c.host, moved{}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTheMoreDemandingRouteComesFirst(t *testing.T) {
	version := Value{Name: "x-version", Text: "2"}
	route := func(owner, path string, d *Demand) *Route {
		return &Route{Owner: owner, Kind: PathElement, Path: path, Demand: d}
	}
	table := BuildTable([]*Route{
		route("any", "/", nil), route("query", "/", &Demand{Queries: []Value{version}}), route("header", "/", &Demand{Headers: []Value{version}}),
		route("method", "/", &Demand{Method: "POST"}), route("path", "/longer", nil),
	}, nil)
	for _, c := range []struct{ method, target, header, want string }{
		{"GET", "/", "", "any"}, {"GET", "/?x-version=2", "", "query"}, {"GET", "/?x-version=2", "2", "header"},
		{"POST", "/?x-version=2", "2", "method"}, {"POST", "/longer", "2", "path"}, {"GET", "/?x-version=3", "1", "any"},
	} {
		req := httptest.NewRequest(c.method, c.target, nil)
		if c.header != "" {
			req.Header.Set("X-Version", c.header)
		}
		if got := table.Find("shop.test", req).Owner; got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// The rule changes first, then the share that was chosen, on the way there and back.
func TestADecisionChangesTheRequestAndItsAnswer(t *testing.T) {
	set := func(value string) *HeaderChange { return &HeaderChange{Set: []Header{{"X-By", value}}} }
	r := &Route{
		Path: "/app", PathChange: &PathChange{To: "/", Prefix: true}, UpstreamHost: "inner.test", Request: set("rule"), Response: set("rule"),
		Shares: []Share{
			{Backend: &Backend{Port: 1}, Weight: 1},
			{Backend: &Backend{Port: 2}, Weight: 3, Request: set("share"), Response: &HeaderChange{Remove: []string{"X-By"}}},
			{Weight: 1, Unavailable: "it is gone"},
		},
	}
	for roll, want := range []struct {
		port    uint16
		by      string
		answer  string
		without string
	}{{1, "rule", "rule", ""}, {2, "share", "", ""}, {2, "share", "", ""}, {2, "share", "", ""}, {0, "", "", "it is gone"}} {
		in := httptest.NewRequest("GET", "http://shop.test/app/x", nil)
		d := r.Decide(in, func(n int) int { return roll % n })
		if d.Backend == nil {
			if want.port != 0 || d.Unavailable != want.without || d.Code != http.StatusServiceUnavailable {
				t.Errorf("roll %d: no backend, %q, %d", roll, d.Unavailable, d.Code)
			}
			continue
		}
		out, answer := in.Clone(t.Context()), http.Header{}
		d.Change(out, in)
		d.ChangeAnswer(answer, in)
		if d.Backend.Port != want.port || out.URL.Path != "/x" || out.Host != "inner.test" || out.Header.Get("X-By") != want.by || answer.Get("X-By") != want.answer {
			t.Errorf("roll %d: port %d, %s%s by %q, answered by %q; want %+v",
				roll, d.Backend.Port, out.Host, out.URL.Path, out.Header.Get("X-By"), answer.Get("X-By"), want)
		}
	}
}

func TestOtherSitesMayReadWhatTheyAreAllowed(t *testing.T) {
	c := &CORS{Origins: []string{"https://*.pages.test"}, Methods: []string{"*"}, Credentials: true, MaxAge: 5}
	for origin, want := range map[string]string{
		"https://my.pages.test": "https://my.pages.test", "https://pages.test": "", "http://my.pages.test": "", "https://.pages.test": "",
	} {
		req := httptest.NewRequest("OPTIONS", "/", nil)
		req.Header.Set("Origin", origin)
		if c.Preflight(httptest.NewRecorder(), req) {
			t.Errorf("%s: a request that asks for no method is taken for a preflight", origin)
		}
		req.Header.Set("Access-Control-Request-Method", "PUT")
		w := httptest.NewRecorder()
		if !c.Preflight(w, req) || w.Header().Get("Access-Control-Allow-Origin") != want {
			t.Errorf("%s: %v", origin, w.Header())
		}
		// With credentials a browser takes "*" literally.
		if got := w.Header().Get("Access-Control-Allow-Methods"); want != "" && got != "PUT" {
			t.Errorf("%s: methods %q", origin, got)
		}
	}
}
