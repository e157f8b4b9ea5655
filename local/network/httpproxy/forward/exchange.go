package forward

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"skiff.local/skiff/local/network/httpproxy/accesslog"
	"skiff.local/skiff/local/network/httpproxy/routing"
)

// An exchange is a request and its answer: what was decided about them, and which endpoint has them.
type exchange struct {
	routing.Decision
	in       *http.Request // as it came
	sticky   netip.AddrPort
	endpoint netip.AddrPort
}

// outcome is what the access log says of it.
func (x *exchange) outcome(res *counted, begin time.Time) *accesslog.Entry {
	e := &accesslog.Entry{
		Client: routing.HostOf(x.in.RemoteAddr), Begin: begin,
		Method: x.in.Method, Host: x.in.Host, Target: x.in.URL.RequestURI(), Protocol: x.in.Proto,
		Status: res.status, Bytes: res.bytes, Endpoint: x.endpoint,
	}
	if x.Backend != nil {
		e.Service, e.Port = x.Backend.Service, x.Backend.Port
	}
	return e
}

// edit changes a request to what the endpoint is to see. by is who has forwarded it before.
func (x *exchange) edit(out, in *http.Request, by []string) {
	client, scheme := routing.HostOf(in.RemoteAddr), "http"
	if in.TLS != nil {
		scheme = "https"
	}
	chain := client
	if len(by) > 0 {
		chain = strings.Join(by, ", ") + ", " + client
	}
	values := [...]string{chain, in.Host, scheme, client, portOf(in)} // one allocation for all
	for i, name := range [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Forwarded-Port"} {
		out.Header[name] = values[i : i+1 : i+1]
	}
	x.Change(out, in)
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
