package relayproto

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// Socket is where the relay waits for the connector: an abstract unix socket, which only a process in the relay's own
// network namespace can reach and which vanishes with the relay.
const Socket = "@skiff-relay"

// InstanceName is a DNS name whose TXT record is the relay's Hello.Instance: whoever gets that answer from the relay's
// address without a session in between can reach the pod network directly.
const InstanceName = "instance.relay.skiff.local"

// A Kind says what a stream is for. It is the first frame of every stream.
type Kind string

const (
	// Control streams carry a Hello, then Updates one way and Acks the other. The daemon opens them.
	Control Kind = "control"
	// Dial streams ask the relay to connect to an address in the cluster. The daemon opens them.
	Dial Kind = "dial"
	// API streams are connections of pods to the Kubernetes API. The relay opens them.
	API Kind = "api"
	// Host streams are connections of pods to a port of the developer's machine. The relay opens them.
	Host Kind = "host"
)

// An Open is the first frame of a stream.
type Open struct {
	Kind Kind `json:"kind"`
	// Network is tcp or udp, for Dial and Host. Packets of udp travel with a two-byte length before each.
	Network string `json:"net,omitempty"`
	// Address is host:port for Dial, :port for Host, and the client's address for API.
	Address string `json:"addr,omitempty"`
}

// An Opened answers an Open of every kind but Control.
type Opened struct {
	Error string `json:"error,omitempty"`
	// Refused tells a port that refuses from an address that does not answer.
	Refused bool `json:"refused,omitempty"`
}

// maxFrame bounds one frame; chosen, far above 500 Services with 10 endpoints each (0.5 MB).
const maxFrame = 64 << 20

// WriteFrame writes v as JSON after its length.
func WriteFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

// ReadFrame reads what WriteFrame wrote, and not a byte more.
func ReadFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("frame of %d bytes is over the limit of %d", n, maxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

// SessionConfig is the multiplexer's configuration, the same at both ends.
func SessionConfig() *yamux.Config {
	cfg := yamux.DefaultConfig()
	// A window below bandwidth × delay caps one stream's throughput; 256 KB did.
	cfg.MaxStreamWindowSize = 4 << 20
	cfg.AcceptBacklog = 1024
	// A half-closed connection may stay so for as long as its other half talks.
	cfg.StreamCloseTimeout = 0
	cfg.ConnectionWriteTimeout = 30 * time.Second
	cfg.LogOutput = io.Discard
	return cfg
}

type closeWriter interface{ CloseWrite() error }

// Pipe copies between a and b until both directions have ended, passing on each half-close, then closes both. It returns how
// many bytes a was sent.
func Pipe(a, b net.Conn) (sent int64) { return PipeAnswer(a, b, func() {}) }

// PipeAnswer is Pipe, and calls answered when b has sent something, or ended.
func PipeAnswer(a, b net.Conn, answered func()) (sent int64) {
	var both sync.WaitGroup
	both.Add(2)
	one := func(dst, src net.Conn) (n int64) {
		defer both.Done()
		var err error
		if src == b {
			n, err = copyFirst(dst, src)
			answered()
		}
		if err == nil {
			var rest int64
			rest, err = copyRest(dst, src)
			n += rest
		}
		if err != nil {
			// A broken half breaks the whole: the other side must not wait for what can't come.
			abort(dst)
			abort(src)
			return n
		}
		CloseWrite(dst)
		return n
	}
	go one(b, a)
	sent = one(a, b)
	both.Wait()
	a.Close()
	b.Close()
	return sent
}

// copyFirst copies what comes first. The end of what comes is no error, and comes again.
func copyFirst(dst, src net.Conn) (sent int64, err error) {
	buf := make([]byte, 4<<10)
	n, err := src.Read(buf)
	if n > 0 {
		n, err = dst.Write(buf[:n])
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return int64(n), err
}

// buffers are what copyRest copies by. One of its own for each direction was most of what a short connection cost: 172 µs of
// the daemon's CPU time, mostly the garbage collector's, instead of 107.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyRest copies until src ends.
func copyRest(dst, src net.Conn) (sent int64, err error) {
	if isTCP(dst) && isTCP(src) {
		return io.Copy(dst, src) // in the kernel, where that can
	}
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	// Bare, or a TCP connection at one end would copy by a buffer of its own.
	return io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, buf[:])
}

func isTCP(c net.Conn) bool {
	_, ok := c.(*net.TCPConn)
	return ok
}

// CloseWrite ends one direction: a yamux stream's Close is a half-close, other connections have CloseWrite.
func CloseWrite(c net.Conn) {
	switch c := c.(type) {
	case *yamux.Stream:
		c.Close()
	case closeWriter:
		c.CloseWrite()
	default:
		c.Close()
	}
}

// Conn is a stream as everybody else knows a connection: CloseWrite ends one direction, and Close both.
type Conn struct{ *yamux.Stream }

// CloseWrite ends what is written. What comes can still be read.
func (c Conn) CloseWrite() error { return c.Stream.Close() }

// Close ends what is written, and reading on this side, at once.
func (c Conn) Close() error {
	err := c.Stream.Close()
	c.SetReadDeadline(time.Now())
	return err
}

// abort unblocks both directions of c, resetting it where the transport can.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
	c.SetDeadline(time.Now())
}

// Refuse closes a connection that was accepted on behalf of somebody who can't be reached, with a reset.
func Refuse(c net.Conn) { abort(c) }
