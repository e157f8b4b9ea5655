package apiserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// loopback is a RoundTripper that calls the server's handler in the same process: no socket, no TLS, no
// HTTP framing. Streams (watches) flow through a pipe. Requests that upgrade their connection are not for it.
type loopback struct {
	handler http.Handler // valid once serving is closed
	serving chan struct{}
}

func newLoopback() *loopback { return &loopback{serving: make(chan struct{})} }

// serve lets requests through, which have waited until now: parts of the server ask it things while it is being built.
func (l *loopback) serve(h http.Handler) {
	l.handler = h
	close(l.serving)
}

// config returns the client configuration that goes with l. A custom Transport forbids TLS fields, and
// the limits on the rate of requests are meant for networks.
func (l *loopback) config(token string) *rest.Config {
	return &rest.Config{
		Host:      "https://127.0.0.1",
		Transport: l,
		UserAgent: "kube-apiserver",
		// Warnings tell users of deprecated versions; the server's own parts use them knowingly.
		WarningHandlerWithContext: rest.NoWarnings{},
		BearerToken:               token,
		QPS:                       -1,
		DisableCompression:        true,
		ContentConfig:             rest.ContentConfig{ContentType: runtime.ContentTypeProtobuf},
	}
}

func (l *loopback) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-l.serving:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	ctx, cancel := context.WithCancel(r.Context())
	req := r.Clone(ctx)
	req.RequestURI = r.URL.RequestURI()
	req.RemoteAddr = "127.0.0.1:0"
	// The handlers choose chunked or HTTP/1 streaming by the version.
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/2.0", 2, 0
	if req.Body == nil {
		req.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &loopbackWriter{header: http.Header{}, body: pw, ready: make(chan struct{}), done: ctx.Done()}
	go func() {
		defer cancel()
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				// The usual way of a handler to say that its answer is not complete.
				w.WriteHeader(http.StatusInternalServerError)
				pw.CloseWithError(io.ErrUnexpectedEOF)
				return
			} else if p != nil {
				w.WriteHeader(http.StatusInternalServerError)
				pw.CloseWithError(fmt.Errorf("handler of %s %s panicked: %v\n%s", r.Method, r.URL.Path, p, debug.Stack()))
				return
			}
			w.WriteHeader(http.StatusOK)
			pw.Close()
		}()
		l.handler.ServeHTTP(w, req)
	}()
	select {
	case <-w.ready:
	case <-r.Context().Done():
		cancel()
		pr.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.code, http.StatusText(w.code)),
		StatusCode:    w.code,
		Proto:         "HTTP/2.0",
		ProtoMajor:    2,
		Header:        w.sent,
		Body:          &loopbackBody{pr, cancel},
		ContentLength: -1,
		Request:       r,
	}, nil
}

// loopbackWriter is the response under way. Headers are frozen when the first byte or status is written.
type loopbackWriter struct {
	header http.Header
	once   sync.Once
	code   int
	sent   http.Header
	ready  chan struct{}
	body   *io.PipeWriter
	done   <-chan struct{}
}

func (w *loopbackWriter) Header() http.Header { return w.header }

func (w *loopbackWriter) WriteHeader(code int) {
	if code >= 100 && code < 200 {
		return
	}
	w.once.Do(func() {
		w.code, w.sent = code, w.header.Clone()
		close(w.ready)
	})
}

func (w *loopbackWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *loopbackWriter) Flush() { w.WriteHeader(http.StatusOK) }

func (w *loopbackWriter) SetWriteDeadline(time.Time) error { return nil }

// CloseNotify is what older handlers of streams insist on.
func (w *loopbackWriter) CloseNotify() <-chan bool {
	c := make(chan bool, 1)
	go func() {
		<-w.done
		c <- true
	}()
	return c
}

type loopbackBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *loopbackBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
