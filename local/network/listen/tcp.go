package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// attemptTimeout bounds one connection attempt while another endpoint could be tried: an endpoint that lives answers
// within a millisecond, and a lost packet is sent again after a second.
const attemptTimeout = 1500 * time.Millisecond

// lastTimeout bounds the attempt after which there is nothing left to try.
const lastTimeout = 10 * time.Second

func (m *Manager) serveTCP(l *net.TCPListener, t *target) {
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: those that end make room.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go m.carryTCP(conn, t)
	}
}

func (m *Manager) carryTCP(conn *net.TCPConn, t *target) {
	if answer := t.answer(); answer != nil {
		answer(conn)
		return
	}
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	backend, at, err := connect(m.cfg.Dial, "tcp", t, client)
	if err != nil {
		relayproto.Refuse(conn)
		return
	}
	relayproto.PipeAnswer(conn, backend, m.unanswered.add(at.Addr()))
}

var errNoEndpoints = errors.New("no endpoint is ready")

// connect reaches one of the target's backends, each at most once, and those that appear meanwhile as well.
func connect(dial func(context.Context, string, netip.AddrPort) (net.Conn, error), network string, t *target, client netip.Addr) (net.Conn, netip.AddrPort, error) {
	failed := errNoEndpoints
	tried := map[netip.AddrPort]bool{}
	for {
		var next netip.AddrPort
		left := 0
		for _, b := range t.order(client, time.Now()) {
			if !tried[b] {
				if left == 0 {
					next = b
				}
				left++
			}
		}
		if left == 0 {
			return nil, next, failed
		}
		timeout := lastTimeout
		if left > 1 {
			timeout = attemptTimeout
		}
		tried[next] = true
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		conn, err := dial(ctx, network, next)
		cancel()
		if err == nil {
			t.chose(client, next, time.Now())
			return conn, next, nil
		}
		failed = err
	}
}
