package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"skiff.local/skiff/local/network/relayproto"
	"skiff.local/skiff/runtime/docker"
)

// A link holds the session with the relay, which may be lost and found again.
type link struct {
	mu      sync.Mutex
	session *yamux.Session   // guarded by mu; nil without one
	hello   relayproto.Hello // of that session; guarded by mu
	control net.Conn         // of that session; guarded by mu
	changed chan struct{}    // closed and replaced whenever session changes; guarded by mu
	closed  bool             // no session is wanted any more; guarded by mu
}

// errNoRelay is the error of everything that needs the relay while there is none.
var errNoRelay = errors.New("the relay is not connected")

// connect opens a session with the relay container, unless there is one.
func (n *Network) connect(ctx context.Context, id string) error {
	if s, _ := n.link.current(); s != nil {
		return nil
	}
	var trouble lockedBuffer
	exec := docker.ExecSpec{Cmd: []string{docker.HelperPath, "connect"}}
	wire, err := n.cfg.Engine.StartExec(ctx, id, exec, &trouble)
	if err != nil {
		return fmt.Errorf("connect to the relay: %w", err)
	}
	session, err := yamux.Client(relayproto.Gather(wire), relayproto.SessionConfig())
	if err != nil {
		wire.Close()
		return fmt.Errorf("connect to the relay: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { session.Close() })
	control, hello, err := openControl(session)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		session.Close()
		return fmt.Errorf("connect to the relay: %w", errors.Join(err, trouble.err()))
	}
	if !n.link.set(session, control, hello) {
		session.Close()
		return errNoRelay
	}
	n.log.Info("connected to the relay", "instance", hello.Instance, "services", hello.Services, "problem", hello.Problem)
	go n.serve(session)
	if n.cfg.ForceRelay {
		n.direct.Store(false)
	} else {
		go n.probeDirect(hello.Instance)
	}
	return nil
}

func openControl(s *yamux.Session) (net.Conn, relayproto.Hello, error) {
	var hello relayproto.Hello
	stream, err := s.OpenStream()
	if err != nil {
		return nil, hello, err
	}
	if err := relayproto.WriteFrame(stream, relayproto.Open{Kind: relayproto.Control}); err != nil {
		return nil, hello, err
	}
	err = relayproto.ReadFrame(stream, &hello)
	return stream, hello, err
}

// serve takes the streams that the relay opens until the session ends.
func (n *Network) serve(s *yamux.Session) {
	for {
		stream, err := s.AcceptStream()
		if err != nil {
			n.link.lost(s)
			return
		}
		go n.serveStream(stream)
	}
}

func (n *Network) serveStream(stream net.Conn) {
	var open relayproto.Open
	if err := relayproto.ReadFrame(stream, &open); err != nil {
		stream.Close()
		return
	}
	var port int
	switch open.Kind {
	case relayproto.API:
		port = int(n.apiPort.Load())
	case relayproto.Host:
		port, _ = strconv.Atoi(strings.TrimPrefix(open.Address, ":"))
	}
	conn, err := dialLoopback(port)
	if err != nil {
		relayproto.WriteFrame(stream, relayproto.Opened{Error: err.Error(), Refused: true})
		stream.Close()
		return
	}
	if err := relayproto.WriteFrame(stream, relayproto.Opened{}); err != nil {
		stream.Close()
		conn.Close()
		return
	}
	relayproto.Pipe(conn, stream)
}

// dialLoopback connects to a port of this machine as `localhost` would.
func dialLoopback(port int) (net.Conn, error) {
	if port <= 0 || port > 65535 {
		return nil, fmt.Errorf("no such port: %d", port)
	}
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 5*time.Second)
	if err != nil {
		if conn6, err6 := net.DialTimeout("tcp", fmt.Sprintf("[::1]:%d", port), 5*time.Second); err6 == nil {
			return conn6, nil
		}
	}
	return conn, err
}

func (l *link) current() (*yamux.Session, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil && l.session.IsClosed() {
		return nil, l.changed
	}
	return l.session, l.changed
}

func (l *link) controlStream() (net.Conn, relayproto.Hello) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.control, l.hello
}

func (l *link) set(s *yamux.Session, control net.Conn, hello relayproto.Hello) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.session, l.control, l.hello = s, control, hello
	l.signalLocked()
	return true
}

// lost forgets a session that ended.
func (l *link) lost(s *yamux.Session) {
	s.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == s {
		l.session, l.control = nil, nil
		l.signalLocked()
	}
}

// drop ends the session so that another is opened.
func (l *link) drop() {
	if s, _ := l.current(); s != nil {
		l.lost(s)
	}
}

func (l *link) close() {
	l.mu.Lock()
	s := l.session
	l.closed = true
	l.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

func (l *link) signalLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// keep keeps the relay running and connected until ctx ends: a relay that was killed or removed is back within a second.
func (n *Network) keep(ctx context.Context) {
	const first, last = 20 * time.Millisecond, time.Second // chosen
	pause := first
	for ctx.Err() == nil {
		session, changed := n.link.current()
		if session != nil {
			pause = first
			select {
			case <-session.CloseChan():
				n.link.lost(session)
				n.log.Warn("the session with the relay ended")
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		n.mu.Lock()
		err := n.ensureLocked(ctx)
		n.mu.Unlock()
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			n.log.Warn("the relay is not back yet", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, last)
	}
}

// A lockedBuffer keeps what the connector had to complain about.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 4<<10 {
		return len(p), nil
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() == 0 {
		return nil
	}
	return errors.New(strings.TrimSpace(l.b.String()))
}

var _ io.Writer = (*lockedBuffer)(nil)
