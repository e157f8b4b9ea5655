package httpproxy

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// An accessLog writes one line per request: time, client, method, host, path, protocol, status, bytes of the body, duration,
// Service, and pod, or the endpoint's address where no pod is behind it. A request to no Service has "-" for both. The server
// refuses requests that have a space in any of it, so fields are what spaces separate.
type accessLog struct {
	pod func(service relayproto.Key, addr netip.Addr) string

	mu  sync.Mutex
	w   io.Writer // guarded by mu; nil for none
	buf []byte    // guarded by mu
}

// LogTime is the form of a line's first field, in UTC.
const LogTime = "2006-01-02T15:04:05.000Z"

func (l *accessLog) write(req *http.Request, res *counted, d *routing, begin time.Time) {
	if l.w == nil {
		return
	}
	took := time.Since(begin)
	pod := ""
	if d.backend != nil && d.endpoint.IsValid() && l.pod != nil {
		pod = l.pod(d.backend.Service, d.endpoint.Addr())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := begin.UTC().AppendFormat(l.buf[:0], LogTime)
	for _, field := range []string{hostOf(req.RemoteAddr), req.Method, req.Host, req.URL.RequestURI(), req.Proto} {
		b = append(b, ' ')
		if field == "" {
			field = "-"
		}
		b = append(b, field...)
	}
	b = strconv.AppendInt(append(b, ' '), int64(res.status), 10)
	b = strconv.AppendInt(append(b, ' '), res.bytes, 10)
	b = append(strconv.AppendFloat(append(b, ' '), float64(took.Microseconds())/1000, 'f', 3, 64), "ms "...)
	if d.backend == nil {
		b = append(b, "- -"...)
	} else {
		s := d.backend.Service
		b = append(append(append(append(b, s.Namespace...), '/'), s.Name...), ':')
		b = append(strconv.AppendUint(b, uint64(d.backend.Port), 10), ' ')
		switch {
		case pod != "":
			b = append(b, pod...)
		case d.endpoint.IsValid():
			b = d.endpoint.AppendTo(b)
		default:
			b = append(b, '-')
		}
	}
	l.buf = append(b, '\n')
	_, _ = l.w.Write(l.buf)
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
