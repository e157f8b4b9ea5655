// Package accesslog is the log of the requests to Ingresses and Gateways: its lines, and a file of bounded size for them.
package accesslog

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// A Log has one line per request: time, client, method, host, path, protocol, status, bytes of the body, duration, Service, and
// pod, or the endpoint's address where no pod is behind it. A request to no Service has "-" for both. The server refuses requests
// that have a space in any of it, so fields are what spaces separate.
type Log struct {
	pod func(service relayproto.Key, addr netip.Addr) string

	mu  sync.Mutex
	w   io.Writer // guarded by mu; nil for none
	buf []byte    // guarded by mu
}

// New returns a log that is written to w, each line at once; with a nil w it is none. pod is the name of the pod behind an
// endpoint, "" when there is none; nil when nobody knows.
func New(w io.Writer, pod func(service relayproto.Key, addr netip.Addr) string) *Log {
	return &Log{w: w, pod: pod}
}

// TimeFormat is the form of a line's first field, in UTC.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// An Answer is what became of a request.
type Answer struct {
	Client string // the address that it came from
	Begin  time.Time
	Status int
	Bytes  int64 // of the body
	// Service and Port are what it was for, zero for nothing; Endpoint is what answered, if anything did.
	Service  relayproto.Key
	Port     uint16
	Endpoint netip.AddrPort
}

// Write adds a request that has been answered just now.
func (l *Log) Write(req *http.Request, a *Answer) {
	if l.w == nil {
		return
	}
	took := time.Since(a.Begin)
	pod := ""
	if a.Endpoint.IsValid() && l.pod != nil {
		pod = l.pod(a.Service, a.Endpoint.Addr())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := a.Begin.UTC().AppendFormat(l.buf[:0], TimeFormat)
	for _, field := range []string{a.Client, req.Method, req.Host, req.URL.RequestURI(), req.Proto} {
		b = append(b, ' ')
		if field == "" {
			field = "-"
		}
		b = append(b, field...)
	}
	b = strconv.AppendInt(append(b, ' '), int64(a.Status), 10)
	b = strconv.AppendInt(append(b, ' '), a.Bytes, 10)
	b = append(strconv.AppendFloat(append(b, ' '), float64(took.Microseconds())/1000, 'f', 3, 64), "ms "...)
	if a.Port == 0 {
		b = append(b, "- -"...)
	} else {
		b = append(append(append(append(b, a.Service.Namespace...), '/'), a.Service.Name...), ':')
		b = append(strconv.AppendUint(b, uint64(a.Port), 10), ' ')
		switch {
		case pod != "":
			b = append(b, pod...)
		case a.Endpoint.IsValid():
			b = a.Endpoint.AppendTo(b)
		default:
			b = append(b, '-')
		}
	}
	l.buf = append(b, '\n')
	_, _ = l.w.Write(l.buf)
}
