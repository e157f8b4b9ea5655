package ingress

import (
	"context"
	"errors"
	"fmt"
	"html"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy serves requests by the current table.
type proxy struct {
	table atomic.Pointer[Table]
	pool  *pool
	log   *accessLog
	// httpsPort is where TLS is served, for redirects.
	httpsPort atomic.Int32
	reverse   *httputil.ReverseProxy
}

func newProxy(p *pool, log *accessLog) *proxy {
	x := &proxy{pool: p, log: log}
	x.table.Store(buildTable(nil, nil))
	x.reverse = &httputil.ReverseProxy{
		Rewrite:       x.rewrite,
		Transport:     x,
		FlushInterval: -1, // whatever comes goes on at once: streams and events stay live
		BufferPool:    newBuffers(),
		ErrorHandler:  x.failed,
		ModifyResponse: func(res *http.Response) error {
			for _, h := range routed(res.Request.Context()).route.Headers {
				res.Header.Set(h.Name, h.Value)
			}
			return nil
		},
	}
	return x
}

// routing is what was decided about a request.
type routing struct {
	route    *Route
	backend  *Backend
	endpoint netip.AddrPort
	sticky   netip.AddrPort
}

type routingKey struct{}

func routed(ctx context.Context) *routing {
	r, _ := ctx.Value(routingKey{}).(*routing)
	return r
}

// ServeHTTP implements http.Handler.
func (x *proxy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	begin := time.Now()
	out := &counted{ResponseWriter: w, status: http.StatusOK}
	decision := &routing{}
	defer func() { x.log.write(req, out, decision, begin) }()
	host := hostOf(req.Host)
	table := x.table.Load()
	r := table.Find(host, req.URL.Path)
	if r == nil {
		noRoute(out, req, host, table)
		return
	}
	decision.route = r
	if to, code := x.redirect(r, req, host); to != "" {
		http.Redirect(out, req, to, code)
		return
	}
	decision.backend = r.choose(req, rand.IntN)
	if decision.backend == nil {
		problem(out, req, http.StatusServiceUnavailable, fmt.Sprintf("ingress %s: %s", r.Owner, r.Unavailable))
		return
	}
	if r.StickyCookie != "" {
		if c, err := req.Cookie(r.StickyCookie); err == nil {
			decision.sticky, _ = netip.ParseAddrPort(c.Value)
		}
	}
	x.reverse.ServeHTTP(out, req.WithContext(context.WithValue(req.Context(), routingKey{}, decision)))
}

// redirect says where a request is sent instead of being served.
func (x *proxy) redirect(r *Route, req *http.Request, host string) (to string, code int) {
	if r.HTTPSRedirect && req.TLS == nil {
		if port := x.httpsPort.Load(); port != 443 && port != 0 {
			host = net.JoinHostPort(host, fmt.Sprint(port))
		}
		return "https://" + host + req.URL.RequestURI(), http.StatusPermanentRedirect
	}
	if r.Redirect != nil {
		return r.Redirect.To, r.Redirect.Code
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
	p.Out.Host = p.In.Host
	if r.UpstreamHost != "" {
		p.Out.Host = r.UpstreamHost
	}
	if r.Rewrite != "" {
		p.Out.URL.Path, p.Out.URL.RawPath = r.rewrite(p.In.URL.Path), ""
	}
}

// RoundTrip implements http.RoundTripper for the reverse proxy.
func (x *proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	decision := routed(req.Context())
	res, endpoint, err := x.pool.roundTrip(req, decision.backend, decision.sticky)
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
	case errors.Is(err, context.Canceled):
		code = 499 // as nginx logs a client that left
	case errors.Is(err, context.DeadlineExceeded):
		code = http.StatusGatewayTimeout
	}
	s := decision.backend.Service
	problem(w, req, code, fmt.Sprintf("service %s/%s port %d: %v", s.Namespace, s.Name, decision.backend.Port, err))
}

func noRoute(w http.ResponseWriter, req *http.Request, host string, t *Table) {
	message := fmt.Sprintf("no ingress has the host %q with the path %q", host, req.URL.Path)
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
		w.Header().Set("Grpc-Status", "14") // UNAVAILABLE
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
