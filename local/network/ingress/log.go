package ingress

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// An accessLog writes one line per request, in the order of nginx's combined format as far as it goes.
type accessLog struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu; nil for none
}

func (l *accessLog) write(req *http.Request, res *counted, d *routing, begin time.Time) {
	if l.w == nil {
		return
	}
	target := "-"
	if d.backend != nil {
		target = fmt.Sprintf("%s/%s:%d %s", d.backend.Service.Namespace, d.backend.Service.Name, d.backend.Port, d.endpoint)
	}
	line := fmt.Sprintf("%s %s %q %s %d %d %.3fms %s\n", begin.UTC().Format(time.RFC3339Nano), hostOf(req.RemoteAddr),
		req.Method+" "+req.URL.RequestURI()+" "+req.Proto, req.Host, res.status, res.bytes,
		float64(time.Since(begin).Microseconds())/1000, target)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, line)
}

// counted notes what was answered.
type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *counted) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		c.status = code
	}
	c.ResponseWriter.WriteHeader(code)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController what the writer beneath can do: flush, hijack.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
