//go:build linux

package relay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"skiff.local/skiff/local/network/relayproto"
)

// serveAPI carries pods' connections to the API: the endpoint of the Service `kubernetes`, and the port where a node's
// kubelet would answer, which the API server does here.
func (r *relay) serveAPI(ctx context.Context) error {
	for _, port := range []uint16{r.cfg.APIPort, r.cfg.KubeletPort} {
		listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.cfg.IP, port)))
		if err != nil {
			return fmt.Errorf("listen for connections to the API: %w", err)
		}
		context.AfterFunc(ctx, func() { listener.Close() })
		go accept(listener, func(conn *net.TCPConn) {
			r.carry(conn, relayproto.Open{Kind: relayproto.API, Network: "tcp", Address: conn.RemoteAddr().String()})
		})
	}
	return nil
}

// serveHost carries connections to the address that stands for the developer's machine, each to the port that the pod
// asked for.
func (r *relay) serveHost(ctx context.Context) error {
	addr := netip.AddrPortFrom(r.cfg.Host, relayproto.HostPort)
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return fmt.Errorf("listen for connections to the host: %w", err)
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	go accept(listener, func(conn *net.TCPConn) {
		port, err := originalPort(conn)
		if err != nil {
			relayproto.Refuse(conn)
			return
		}
		r.carry(conn, relayproto.Open{Kind: relayproto.Host, Network: "tcp", Address: fmt.Sprintf(":%d", port)})
	})
	return nil
}

func accept(listener *net.TCPListener, serve func(*net.TCPConn)) {
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			if unix.EMFILE == err || unix.ENFILE == err {
				continue
			}
			return
		}
		go serve(conn)
	}
}

// carry connects conn to the daemon's end.
func (r *relay) carry(conn *net.TCPConn, open relayproto.Open) {
	session, err := r.daemon()
	if err != nil {
		relayproto.Refuse(conn)
		return
	}
	stream, err := session.OpenStream()
	if err != nil {
		relayproto.Refuse(conn)
		return
	}
	var opened relayproto.Opened
	err = relayproto.WriteFrame(stream, open)
	if err == nil {
		err = relayproto.ReadFrame(stream, &opened)
	}
	if err != nil || opened.Error != "" {
		relayproto.Refuse(conn)
		stream.Close()
		return
	}
	relayproto.Pipe(conn, stream)
}

// originalPort is the destination port of a connection before a rule redirected it here.
func originalPort(conn *net.TCPConn) (uint16, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var addr unix.RawSockaddrInet4
	var failed error
	err = raw.Control(func(fd uintptr) {
		size := uint32(unix.SizeofSockaddrInet4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_IP, unix.SO_ORIGINAL_DST,
			uintptr(unsafe.Pointer(&addr)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			failed = errno
		}
	})
	if err != nil {
		return 0, err
	}
	port := (*[2]byte)(unsafe.Pointer(&addr.Port))
	return uint16(port[0])<<8 | uint16(port[1]), failed
}
