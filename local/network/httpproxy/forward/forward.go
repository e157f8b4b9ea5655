package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
)

// forward sends a request to an endpoint and passes on what it answers, as httputil.ReverseProxy does, which serves upgrades
// here. That copies every header twice and every request three times, which is a tenth of the CPU time of a request; what it
// is careful about is kept.
func (p *Proxy) forward(ctx context.Context, w http.ResponseWriter, req *http.Request, x *exchange) {
	early := &earlyHints{to: w}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: early.pass})
	out, done := p.outgoing(ctx, req, x)
	defer done()
	res, err := p.send(out, x)
	early.end()
	if err != nil {
		x.failed(w, req, err)
		return
	}
	defer res.Body.Close()
	removeHopByHop(res.Header)
	x.ChangeAnswer(res.Header, x.in)
	header := w.Header()
	for name, values := range res.Header {
		header[name] = values
	}
	announced := announceTrailers(header, res.Trailer)
	w.WriteHeader(res.StatusCode)
	if p.pass(w, res) != nil {
		panic(http.ErrAbortHandler) // the client must not take it for all of the body
	}
	passTrailers(w, res.Trailer, announced)
}

// outgoing makes the request that the endpoint sees of the one that came. The headers are the same map: nobody looks at
// those that came any more, but for CORS.
func (p *Proxy) outgoing(ctx context.Context, req *http.Request, x *exchange) (out *http.Request, done func()) {
	out = req.WithContext(ctx)
	url := *req.URL
	out.URL, out.RequestURI, out.Close = &url, "", false
	if x.Route.CORS != nil {
		out.Header = req.Header.Clone()
	}
	done = func() {}
	if out.ContentLength == 0 {
		out.Body = nil
	} else {
		body := &handlersBody{Reader: out.Body}
		out.Body, done = body, func() { body.over.Store(true) }
	}
	trailers := httpguts.HeaderValuesContainsToken(out.Header["Te"], "trailers")
	removeHopByHop(out.Header)
	if trailers {
		out.Header["Te"] = []string{"trailers"} // gRPC wants to see it
	}
	delete(out.Header, "Forwarded")
	p.edit(x, out, req, req.Header["X-Forwarded-For"])
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // none, instead of Go's
	}
	return out, done
}

// handlersBody is a request's body, which must not be read any more when its handler has returned: the transport may still
// be at it.
type handlersBody struct {
	io.Reader
	over atomic.Bool
}

var errOver = errors.New("the request is over")

func (b *handlersBody) Read(p []byte) (int, error) {
	if b.over.Load() {
		return 0, errOver
	}
	return b.Reader.Read(p)
}

func (b *handlersBody) Close() error { return nil }

// hopByHop are the headers of one connection, of RFC 9110 and before.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func removeHopByHop(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// earlyHints passes on answers before the answer, as long as there is none.
type earlyHints struct {
	mu sync.Mutex
	to http.ResponseWriter // guarded by mu; nil when there is an answer
}

func (e *earlyHints) pass(code int, header textproto.MIMEHeader) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.to != nil {
		h := e.to.Header()
		for name, values := range header {
			h[name] = values
		}
		e.to.WriteHeader(code)
		clear(h)
	}
	return nil
}

func (e *earlyHints) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.to = nil
}

func announceTrailers(header, trailer http.Header) int {
	for name := range trailer {
		header.Add("Trailer", name)
	}
	return len(trailer)
}

// passTrailers passes on the trailers that came after the body. Those that were not announced have another way.
func passTrailers(w http.ResponseWriter, trailer http.Header, announced int) {
	if len(trailer) == 0 {
		return
	}
	// Now, so that the server does not put the length of a short body in a header: there would be no trailers.
	_ = http.NewResponseController(w).Flush()
	prefix := ""
	if len(trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range trailer {
		w.Header()[prefix+name] = values
	}
}
