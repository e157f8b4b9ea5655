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

	"skiff.local/skiff/local/network/httpproxy/accesslog"
)

// A proxy serves requests by the table of the door they come through.
type proxy struct {
	pool    *pool
	log     *accesslog.Log
	mirrors *mirrors
	upgrade *httputil.ReverseProxy // of requests that ask for another protocol
	buffers *buffers
	passing sync.Pool
}

func newProxy(p *pool, log *accesslog.Log) *proxy {
	x := &proxy{pool: p, log: log, mirrors: newMirrors(p), buffers: newBuffers()}
	x.passing.New = func() any { return &passing{} }
	x.upgrade = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			x.edit(p.Out, p.In, routed(p.In.Context()), p.In.Header["X-Forwarded-For"])
		},
		Transport:     x,
		FlushInterval: soon,
		BufferPool:    x.buffers,
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, err error) {
			x.failed(w, req, routed(req.Context()), err)
		},
		ModifyResponse: func(res *http.Response) error {
			routed(res.Request.Context()).answered(res.Header)
			return nil
		},
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

// outcome is what the access log says of the request.
func (d *routing) outcome(res *counted, begin time.Time) *accesslog.Entry {
	e := &accesslog.Entry{
		Client: hostOf(d.in.RemoteAddr), Begin: begin,
		Method: d.in.Method, Host: d.in.Host, Target: d.in.URL.RequestURI(), Protocol: d.in.Proto,
		Status: res.status, Bytes: res.bytes, Endpoint: d.endpoint,
	}
	if d.backend != nil {
		e.Service, e.Port = d.backend.Service, d.backend.Port
	}
	return e
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
	defer func() { x.log.Write(decision.outcome(out, begin)) }()
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
	ctx := req.Context()
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	if req.Header["Upgrade"] != nil {
		x.upgrade.ServeHTTP(out, req.WithContext(context.WithValue(ctx, routingKey{}, decision)))
		return
	}
	x.forward(ctx, out, req, decision)
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

// edit changes a request to what the endpoint is to see. by is who has forwarded it before.
func (x *proxy) edit(out, in *http.Request, d *routing, by []string) {
	r := d.route
	client, scheme := hostOf(in.RemoteAddr), "http"
	if in.TLS != nil {
		scheme = "https"
	}
	chain := client
	if len(by) > 0 {
		chain = strings.Join(by, ", ") + ", " + client
	}
	h := out.Header
	values := [...]string{chain, in.Host, scheme, client, portOf(in)} // one allocation for all
	for i, name := range [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Forwarded-Port"} {
		h[name] = values[i : i+1 : i+1]
	}
	out.Host = cmp.Or(r.UpstreamHost, in.Host)
	switch {
	case r.Rewrite != "":
		out.URL.Path, out.URL.RawPath = r.Rewritten(in.URL.Path), ""
	case r.PathChange != nil:
		out.URL.Path, out.URL.RawPath = r.PathChange.apply(in.URL.Path, r.Path), ""
	}
	r.Request.apply(h)
	out.Host = cmp.Or(r.Request.host(), out.Host)
	if s := d.share; s != nil {
		s.Request.apply(h)
	}
	if len(r.Mirrors) > 0 {
		x.mirrors.send(r.Mirrors, out)
	}
}

// answered changes the headers of a response on its way back.
func (d *routing) answered(h http.Header) {
	d.route.CORS.answer(h, d.in)
	d.route.Response.apply(h)
	if s := d.share; s != nil {
		s.Response.apply(h)
	}
}

// RoundTrip implements http.RoundTripper for upgrades.
func (x *proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	return x.send(req, routed(req.Context()))
}

// send sends a request to an endpoint of its backend.
func (x *proxy) send(req *http.Request, d *routing) (*http.Response, error) {
	res, endpoint, err := x.pool.roundTrip(req, d.backend, d.sticky, d.route.EndpointTimeout)
	d.endpoint = endpoint
	if err != nil {
		return nil, err
	}
	if name := d.route.StickyCookie; name != "" && d.sticky != endpoint {
		cookie := http.Cookie{Name: name, Value: endpoint.String(), Path: "/", HttpOnly: true}
		res.Header.Add("Set-Cookie", cookie.String())
	}
	return res, nil
}

// failed answers for an endpoint that did not.
func (x *proxy) failed(w http.ResponseWriter, req *http.Request, d *routing, err error) {
	code := http.StatusBadGateway
	switch {
	case errors.Is(err, errNoEndpoints):
		code = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errSlowEndpoint):
		code = http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		code = 499 // as nginx logs a client that left
	}
	s := d.backend.Service
	problem(w, req, code, fmt.Sprintf("service %s/%s port %d: %v", s.Namespace, s.Name, d.backend.Port, err))
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
	if strings.IndexByte(hostport, ':') < 0 {
		return hostport
	}
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func portOf(req *http.Request) string {
	if strings.IndexByte(req.Host, ':') >= 0 {
		if _, port, err := net.SplitHostPort(req.Host); err == nil {
			return port
		}
	}
	if req.TLS != nil {
		return "443"
	}
	return "80"
}
