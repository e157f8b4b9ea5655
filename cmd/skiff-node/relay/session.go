//go:build linux

package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"skiff.local/skiff/local/network/relayproto"
)

// serveSessions accepts connectors until the socket is closed.
func (r *relay) serveSessions(ctx context.Context, socket *net.UnixListener) {
	for {
		conn, err := socket.AcceptUnix()
		if err != nil {
			return
		}
		go r.serveConnector(ctx, conn)
	}
}

func (r *relay) serveConnector(ctx context.Context, conn *net.UnixConn) {
	wire, err := takeOver(conn)
	if err != nil {
		r.log.Warn("a connector is refused", "err", err)
		conn.Close()
		return
	}
	session, err := yamux.Server(relayproto.Gather(wire), relayproto.SessionConfig())
	if err != nil {
		wire.Close()
		return
	}
	r.enter(session)
	r.serveSession(ctx, session)
	r.leave(session)
}

func (r *relay) enter(s *yamux.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = s
	if r.arrived != nil {
		close(r.arrived)
		r.arrived = nil
	}
}

func (r *relay) leave(s *yamux.Session) {
	s.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == s {
		r.session = nil
	}
}

// daemonPatience is how long a pod's connection waits for a daemon that is restarting; a restart takes about 0.3 s.
const daemonPatience = 3 * time.Second

// daemon returns the session, waiting a little for one.
func (r *relay) daemon() (*yamux.Session, error) {
	deadline := time.After(daemonPatience)
	for {
		r.mu.Lock()
		if s := r.session; s != nil && !s.IsClosed() {
			r.mu.Unlock()
			return s, nil
		}
		if r.arrived == nil {
			r.arrived = make(chan struct{})
		}
		arrived := r.arrived
		r.mu.Unlock()
		select {
		case <-arrived:
		case <-deadline:
			return nil, errors.New("the daemon is away")
		}
	}
}

func (r *relay) serveSession(ctx context.Context, s *yamux.Session) {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	for {
		stream, err := s.AcceptStream()
		if err != nil {
			return
		}
		go r.serveStream(ctx, stream)
	}
}

func (r *relay) serveStream(ctx context.Context, stream net.Conn) {
	var open relayproto.Open
	if err := relayproto.ReadFrame(stream, &open); err != nil {
		stream.Close()
		return
	}
	switch open.Kind {
	case relayproto.Control:
		r.control(stream)
	case relayproto.Dial:
		r.dial(ctx, stream, open)
	default:
		stream.Close()
	}
}

// control applies updates as they come.
func (r *relay) control(stream net.Conn) {
	defer stream.Close()
	r.applying.Lock()
	hello := relayproto.Hello{Instance: r.instance, Services: len(r.state.Services), Problem: r.problem}
	r.applying.Unlock()
	if err := relayproto.WriteFrame(stream, hello); err != nil {
		return
	}
	for {
		var u relayproto.Update
		if err := relayproto.ReadFrame(stream, &u); err != nil {
			if !errors.Is(err, io.EOF) {
				r.log.Info("control stream ended", "err", err)
			}
			return
		}
		ack := relayproto.Ack{Generation: u.Generation}
		if err := r.apply(u); err != nil {
			ack.Error = err.Error()
			r.log.Error("an update is not fully in force", "generation", u.Generation, "err", err)
		}
		if err := relayproto.WriteFrame(stream, ack); err != nil {
			return
		}
	}
}

// dialTimeout bounds a connection attempt on the pod network, where anything that lives answers within milliseconds.
const dialTimeout = 10 * time.Second

func (r *relay) dial(ctx context.Context, stream net.Conn, open relayproto.Open) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, open.Network, open.Address)
	if err != nil {
		relayproto.WriteFrame(stream, relayproto.Opened{Error: err.Error(), Refused: errors.Is(err, syscall.ECONNREFUSED)})
		stream.Close()
		return
	}
	if err := relayproto.WriteFrame(stream, relayproto.Opened{}); err != nil {
		conn.Close()
		stream.Close()
		return
	}
	if open.Network == "udp" {
		stream = relayproto.PacketConn{Conn: stream}
	}
	relayproto.Pipe(conn, stream)
}
