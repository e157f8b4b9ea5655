package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// flowIdle ends a UDP flow on which nothing travels; the kernel's own default for a stream of packets is 120 s.
const flowIdle = 120 * time.Second

// A udp carries packets of each client to one backend and the answers back.
type udp struct {
	conn   *net.UDPConn
	target *target
	cfg    Config

	mu    sync.Mutex
	flows map[netip.AddrPort]*flow // by client; guarded by mu
}

type flow struct {
	backend netip.AddrPort
	conn    net.Conn
}

func newUDP(conn *net.UDPConn, t *target, cfg Config) *udp {
	return &udp{conn: conn, target: t, cfg: cfg, flows: map[netip.AddrPort]*flow{}}
}

func (u *udp) serve() {
	defer u.end()
	buf := make([]byte, 64<<10)
	for {
		n, client, err := u.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		f := u.flow(client)
		if f == nil {
			continue // as any network: a packet that nobody takes is lost
		}
		f.conn.SetReadDeadline(time.Now().Add(flowIdle))
		f.conn.Write(buf[:n])
	}
}

// flow returns the client's flow, a new one when there is none or its backend has gone.
func (u *udp) flow(client netip.AddrPort) *flow {
	u.mu.Lock()
	f := u.flows[client]
	u.mu.Unlock()
	if f != nil && u.target.has(f.backend) {
		return f
	}
	if f != nil {
		u.drop(client, f)
	}
	for _, b := range u.target.order(client.Addr(), time.Now()) {
		conn, err := connectUDP(u.cfg, b)
		if err != nil {
			continue
		}
		f = &flow{backend: b, conn: conn}
		u.target.chose(client.Addr(), b, time.Now())
		u.mu.Lock()
		u.flows[client] = f
		u.mu.Unlock()
		go u.answers(client, f)
		return f
	}
	return nil
}

// answers carries the backend's packets to the client until the flow is idle or dropped.
func (u *udp) answers(client netip.AddrPort, f *flow) {
	defer u.drop(client, f)
	buf := make([]byte, 64<<10)
	f.conn.SetReadDeadline(time.Now().Add(flowIdle))
	for {
		n, err := f.conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := u.conn.WriteToUDPAddrPort(buf[:n], client); err != nil {
			return
		}
		f.conn.SetReadDeadline(time.Now().Add(flowIdle))
	}
}

func (u *udp) drop(client netip.AddrPort, f *flow) {
	f.conn.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.flows[client] == f {
		delete(u.flows, client)
	}
}

func (u *udp) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, f := range u.flows {
		f.conn.Close()
	}
}

func connectUDP(cfg Config, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
	defer cancel()
	return cfg.Dial(ctx, "udp", to)
}
