package httpproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A proxy serves requests by the table of the door they come through.
type proxy struct {
	pool    *pool
	log     *accessLog
	mirrors *mirrors
	reverse *httputil.ReverseProxy
}

// soon is when what has come of a body of known length goes on at the latest. Others, streams and events among them, go on at
// once by ReverseProxy's own rule; for all of them, that would flush headers and body one by one, which costs a fifth of the
// CPU time of a request (BenchmarkProxy).
const soon = 5 * time.Millisecond

func newProxy(p *pool, log *accessLog) *proxy {
	x := &proxy{pool: p, log: log, mirrors: newMirrors(p)}
	x.reverse = &httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		FlushInterval:  soon,
		BufferPool:     newBuffers(),
		ErrorHandler:   x.failed,
		ModifyResponse: x.answered,
	}
	return x
}

// routing is what was decided about a request.
type routing struct {
	route       *Route
	share       *Share // of the route's, when it has some
	backend     *Backend
	unavailable string // why there is no backend
	endpoint    netip.AddrPort
	sticky      netip.AddrPort
	in          *http.Request // as it came
}

type routingKey struct{}

func routed(ctx context.Context) *routing {
	r, _ := ctx.Value(routingKey{}).(*routing)
	return r
}

// serve answers a request that came through a door.
func (x *proxy) serve(d *door, w http.ResponseWriter, req *http.Request) {
	begin := time.Now()
	out := &counted{ResponseWriter: w, status: http.StatusOK}
	decision := &routing{in: req}
	defer func() { x.log.write(req, out, decision, begin) }()
	host := hostOf(req.Host)
	if req.TLS != nil && d.names.Load().misdirected(req.TLS, host) {
		problem(out, req, http.StatusMisdirectedRequest, fmt.Sprintf("the connection is for %q, requests for %q need one of their own", req.TLS.ServerName, host))
		return
	}
	table := d.table.Load()
	r := table.Find(host, req)
	if r == nil {
		noRoute(out, req, host, table)
		return
	}
	if to, code := redirect(r, d, req, host); to != "" {
		decision.route = r
		out.Header().Set("Location", to)
		out.WriteHeader(code)
		return
	}
	if r.CORS.preflight(out, req) {
		return
	}
	decision.decide(r, req, rand.IntN)
	if decision.backend == nil {
		problem(out, req, cmp.Or(r.UnavailableCode, http.StatusServiceUnavailable), fmt.Sprintf("%s: %s", r.Owner, decision.unavailable))
		return
	}
	if r.StickyCookie != "" {
		if c, err := req.Cookie(r.StickyCookie); err == nil {
			decision.sticky, _ = netip.ParseAddrPort(c.Value)
		}
	}
	ctx := context.WithValue(req.Context(), routingKey{}, decision)
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	x.reverse.ServeHTTP(out, req.WithContext(ctx))
}

// redirect says where a request is sent instead of being served.
func redirect(r *Route, d *door, req *http.Request, host string) (to string, code int) {
	if r.HTTPSRedirect && req.TLS == nil {
		if port := d.served(443); port != 443 {
			host = net.JoinHostPort(host, strconv.Itoa(port))
		}
		return "https://" + host + req.URL.RequestURI(), http.StatusPermanentRedirect
	}
	if r.Redirect != nil {
		return r.Redirect.location(req, host, r.Path, int(d.port), d.served), r.Redirect.Code
	}
	if r.RootTo != "" && req.URL.Path == "/" {
		return r.RootTo, http.StatusFound
	}
	return "", 0
}

// rewrite makes the request that the endpoint sees.
func (x *proxy) rewrite(p *httputil.ProxyRequest) {
	decision := routed(p.In.Context())
	r := decision.route
	p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
	p.SetXForwarded()
	p.Out.Header.Set("X-Real-Ip", hostOf(p.In.RemoteAddr))
	p.Out.Header.Set("X-Forwarded-Port", portOf(p.In))
	p.Out.Host = cmp.Or(r.UpstreamHost, p.In.Host)
	switch {
	case r.Rewrite != "":
		p.Out.URL.Path, p.Out.URL.RawPath = r.Rewritten(p.In.URL.Path), ""
	case r.PathChange != nil:
		p.Out.URL.Path, p.Out.URL.RawPath = r.PathChange.apply(p.In.URL.Path, r.Path), ""
	}
	r.Request.apply(p.Out.Header)
	p.Out.Host = cmp.Or(r.Request.host(), p.Out.Host)
	if s := decision.share; s != nil {
		s.Request.apply(p.Out.Header)
	}
	if len(r.Mirrors) > 0 {
		x.mirrors.send(r.Mirrors, p.Out)
	}
}

// answered changes the response on its way back.
func (x *proxy) answered(res *http.Response) error {
	decision := routed(res.Request.Context())
	decision.route.CORS.answer(res.Header, decision.in)
	decision.route.Response.apply(res.Header)
	if s := decision.share; s != nil {
		s.Response.apply(res.Header)
	}
	return nil
}

// RoundTrip implements http.RoundTripper for the reverse proxy.
func (x *proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	decision := routed(req.Context())
	res, endpoint, err := x.pool.roundTrip(req, decision.backend, decision.sticky, decision.route.EndpointTimeout)
	decision.endpoint = endpoint
	if err != nil {
		return nil, err
	}
	if name := decision.route.StickyCookie; name != "" && decision.sticky != endpoint {
		cookie := http.Cookie{Name: name, Value: endpoint.String(), Path: "/", HttpOnly: true}
		res.Header.Add("Set-Cookie", cookie.String())
	}
	return res, nil
}

// failed answers for an endpoint that did not.
func (x *proxy) failed(w http.ResponseWriter, req *http.Request, err error) {
	decision := routed(req.Context())
	code := http.StatusBadGateway
	switch {
	case errors.Is(err, errNoEndpoints):
		code = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errSlowEndpoint):
		code = http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		code = 499 // as nginx logs a client that left
	}
	s := decision.backend.Service
	problem(w, req, code, fmt.Sprintf("service %s/%s port %d: %v", s.Namespace, s.Name, decision.backend.Port, err))
}

func noRoute(w http.ResponseWriter, req *http.Request, host string, t *Table) {
	message := fmt.Sprintf("nothing is routed for the host %q with the path %q", host, req.URL.Path)
	if hosts := t.Hosts(); len(hosts) > 0 {
		message += "; hosts: " + strings.Join(hosts, ", ")
	}
	problem(w, req, http.StatusNotFound, message)
}

// problem answers in the form that the client prefers.
func problem(w http.ResponseWriter, req *http.Request, code int, message string) {
	title := fmt.Sprintf("%d %s", code, http.StatusText(code))
	if isGRPC(req) {
		w.Header().Set("Content-Type", "application/grpc")
		status := "14" // UNAVAILABLE
		if code == http.StatusNotFound {
			status = "12" // UNIMPLEMENTED
		}
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", message)
		w.WriteHeader(http.StatusOK)
		return
	}
	if strings.Contains(req.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		fmt.Fprintf(w, "<!doctype html><title>%s</title><body style=\"font:16px system-ui;margin:3rem\"><h1>%s</h1><p>skiff ingress: %s</p>\n", title, title, html.EscapeString(message))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s\nskiff ingress: %s\n", title, message)
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func portOf(req *http.Request) string {
	if _, port, err := net.SplitHostPort(req.Host); err == nil {
		return port
	}
	if req.TLS != nil {
		return "443"
	}
	return "80"
}

// buffers are what bodies are copied with.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new([32 << 10]byte) }}}
}

func (b *buffers) Get() []byte { return b.pool.Get().(*[32 << 10]byte)[:] }
func (b *buffers) Put(p []byte) {
	if len(p) == 32<<10 {
		b.pool.Put((*[32 << 10]byte)(p))
	}
}
