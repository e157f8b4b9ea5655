package forward

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync"
	"time"

	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/httpproxy/upstream"
)

// A Proxy answers requests. Its methods may be called from any goroutine.
type Proxy struct {
	pool    *upstream.Pool
	log     *accesslog.Log
	mirrors *mirrors
	upgrade *httputil.ReverseProxy // of requests that ask for another protocol
	buffers *buffers
	passing sync.Pool
}

// New returns a proxy to the endpoints of a pool, which notes every request in a log.
func New(pool *upstream.Pool, log *accesslog.Log) *Proxy {
	p := &Proxy{pool: pool, log: log, mirrors: newMirrors(pool), buffers: newBuffers()}
	p.passing.New = func() any { return &passing{} }
	p.upgrade = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.edit(exchangeOf(r.In.Context()), r.Out, r.In, r.In.Header["X-Forwarded-For"])
		},
		Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			return p.send(req, exchangeOf(req.Context()))
		}),
		FlushInterval: soon,
		BufferPool:    p.buffers,
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, err error) {
			exchangeOf(req.Context()).failed(w, req, err)
		},
		ModifyResponse: func(res *http.Response) error {
			x := exchangeOf(res.Request.Context())
			x.ChangeAnswer(res.Header, x.in)
			return nil
		},
	}
	return p
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// exchangeKey is where upgrades, which are not served here, carry their exchange.
type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// Serve answers a request by a table. at is the port that it came to.
func (p *Proxy) Serve(w http.ResponseWriter, req *http.Request, table *routing.Table, at routing.Entrance) {
	begin := time.Now()
	out := &counted{ResponseWriter: w, status: http.StatusOK}
	x := &exchange{in: req}
	defer func() { p.log.Write(x.outcome(out, begin)) }()
	host := routing.HostOf(req.Host)
	r := table.Find(host, req)
	if r == nil {
		noRoute(out, req, host, table)
		return
	}
	if to, code := r.Redirected(req, host, at); to != "" {
		out.Header().Set("Location", to)
		out.WriteHeader(code)
		return
	}
	if r.CORS.Preflight(out, req) {
		return
	}
	if x.Decision = r.Decide(req, rand.IntN); x.Backend == nil {
		problem(out, req, x.Code, fmt.Sprintf("%s: %s", r.Owner, x.Unavailable))
		return
	}
	if r.StickyCookie != "" {
		if c, err := req.Cookie(r.StickyCookie); err == nil {
			x.sticky, _ = netip.ParseAddrPort(c.Value)
		}
	}
	ctx := req.Context()
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	if req.Header["Upgrade"] != nil {
		p.upgrade.ServeHTTP(out, req.WithContext(context.WithValue(ctx, exchangeKey{}, x)))
		return
	}
	p.forward(ctx, out, req, x)
}

// Refuse answers a request with a status and why.
func (p *Proxy) Refuse(w http.ResponseWriter, req *http.Request, code int, why string) {
	begin := time.Now()
	out := &counted{ResponseWriter: w}
	problem(out, req, code, why)
	p.log.Write((&exchange{in: req}).outcome(out, begin))
}

// edit changes a request to what the endpoint is to see, and sends copies of it where the route says.
func (p *Proxy) edit(x *exchange, out, in *http.Request, by []string) {
	x.edit(out, in, by)
	if m := x.Route.Mirrors; len(m) > 0 {
		p.mirrors.send(m, out)
	}
}

// send sends a request to an endpoint of its backend.
func (p *Proxy) send(req *http.Request, x *exchange) (*http.Response, error) {
	res, endpoint, err := p.pool.RoundTrip(req, x.Backend, x.sticky, x.Route.EndpointTimeout)
	x.endpoint = endpoint
	if err != nil {
		return nil, err
	}
	if name := x.Route.StickyCookie; name != "" && x.sticky != endpoint {
		cookie := http.Cookie{Name: name, Value: endpoint.String(), Path: "/", HttpOnly: true}
		res.Header.Add("Set-Cookie", cookie.String())
	}
	return res, nil
}
