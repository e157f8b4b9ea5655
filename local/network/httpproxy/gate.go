package httpproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A gate is the listener of a secure port. Where some names are streams' it reads what clients ask for, keeps the
// connections that are not HTTP's, and gives the others on with what was read.
type gate struct {
	net.Listener
	door   *door
	ready  chan accepted
	closed chan struct{}
	once   sync.Once
}

type accepted struct {
	conn net.Conn
	err  error
}

func newGate(l net.Listener, d *door) *gate {
	g := &gate{Listener: l, door: d, ready: make(chan accepted), closed: make(chan struct{})}
	go g.run()
	return g
}

func (g *gate) run() {
	for {
		conn, err := g.Listener.Accept()
		if err == nil && g.door.names.Load().streams {
			go g.receive(conn)
			continue
		}
		g.give(accepted{conn, err})
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (g *gate) give(a accepted) {
	select {
	case g.ready <- a:
	case <-g.closed:
		if a.conn != nil {
			a.conn.Close()
		}
	}
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case a := <-g.ready:
		return a.conn, a.err
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// helloTime is how long a client may take to say what it wants, and then to agree on TLS; chosen.
const helloTime = 10 * time.Second

func (g *gate) receive(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(helloTime))
	name, read := peek(conn)
	_ = conn.SetReadDeadline(time.Time{})
	if n, ok := g.door.names.Load().byHost.find(name); ok && n.Stream != nil {
		g.door.carry(conn, name, read, n.Stream)
		return
	}
	g.give(accepted{conn: &replayed{Conn: conn, first: bytes.NewReader(read)}})
}

var errPeeked = errors.New("the name is known")

// peek reads what a client says first: the name that it asks for, "" if it says none, and all that was read.
func peek(conn net.Conn) (name string, read []byte) {
	r := &recorded{Conn: conn}
	_ = tls.Server(r, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = hello.ServerName
			return nil, errPeeked
		},
	}).HandshakeContext(context.Background())
	return name, r.read
}

// recorded notes what is read, and writes nothing.
type recorded struct {
	net.Conn
	read []byte
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.read = append(r.read, p[:n]...)
	return n, err
}

func (r *recorded) Write(p []byte) (int, error) { return len(p), nil }

// replayed is a connection that is read from the beginning again.
type replayed struct {
	net.Conn
	first *bytes.Reader
}

func (r *replayed) Read(p []byte) (int, error) {
	if r.first.Len() > 0 {
		return r.first.Read(p)
	}
	return r.Conn.Read(p)
}

// CloseWrite ends what is written, where the connection can.
func (r *replayed) CloseWrite() error {
	if c, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return io.ErrClosedPipe
}
