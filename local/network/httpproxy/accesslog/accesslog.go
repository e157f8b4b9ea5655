// Package accesslog is the log of the requests to Ingresses and Gateways, and of the connections that they carry: its lines, and
// a file of bounded size for them.
package accesslog

import (
	"io"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// A Log has one line per Entry: time, client, method, host, path, protocol, status, bytes, duration, Service, and pod, or the
// endpoint's address where no pod is behind it. What went to no Service has "-" for both.
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

// An Entry is what became of a request or a connection. No text of it may have a space: spaces separate the fields.
type Entry struct {
	Client string // the address that it came from
	Begin  time.Time
	// Method, Host, Target and Protocol are a request's, the first two words and the last of its first line among them. Of a
	// connection that is carried they are "TLS", the name that the client asked for, the listener and the listener's mode.
	Method, Host, Target, Protocol string
	Status                         int
	Bytes                          int64 // of the answer's body, or that were sent to the client
	// Service and Port are what it was for, zero for nothing; Endpoint is what answered, if anything did.
	Service  relayproto.Key
	Port     uint16
	Endpoint netip.AddrPort
}

// Write adds what has ended just now.
func (l *Log) Write(e *Entry) {
	if l.w == nil {
		return
	}
	took := time.Since(e.Begin)
	pod := ""
	if e.Endpoint.IsValid() && l.pod != nil {
		pod = l.pod(e.Service, e.Endpoint.Addr())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := e.Begin.UTC().AppendFormat(l.buf[:0], TimeFormat)
	for _, field := range []string{e.Client, e.Method, e.Host, e.Target, e.Protocol} {
		b = append(b, ' ')
		if field == "" {
			field = "-"
		}
		b = append(b, field...)
	}
	b = strconv.AppendInt(append(b, ' '), int64(e.Status), 10)
	b = strconv.AppendInt(append(b, ' '), e.Bytes, 10)
	b = append(strconv.AppendFloat(append(b, ' '), float64(took.Microseconds())/1000, 'f', 3, 64), "ms "...)
	if e.Port == 0 {
		b = append(b, "- -"...)
	} else {
		b = append(append(append(append(b, e.Service.Namespace...), '/'), e.Service.Name...), ':')
		b = append(strconv.AppendUint(b, uint64(e.Port), 10), ' ')
		switch {
		case pod != "":
			b = append(b, pod...)
		case e.Endpoint.IsValid():
			b = e.Endpoint.AppendTo(b)
		default:
			b = append(b, '-')
		}
	}
	l.buf = append(b, '\n')
	_, _ = l.w.Write(l.buf)
}
