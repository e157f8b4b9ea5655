package privateengine

import (
	"io"
	"net"
)

// TCP is where the engine's API is to be had over TCP, on loopback of this machine, as DOCKER_HOST takes it.
func (e *Engine) TCP() string {
	e.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go e.carry(conn)
		}
	}()
	return "tcp://" + l.Addr().String()
}

// carry carries one connection. The engine ends its side when it has answered, so that side ends both.
func (e *Engine) carry(conn net.Conn) {
	defer conn.Close()
	engine, err := net.Dial("unix", e.path("sock"))
	if err != nil {
		return
	}
	defer engine.Close()
	go func() {
		_, _ = io.Copy(engine, conn)
		_ = engine.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, engine)
}
