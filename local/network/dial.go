package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"skiff.local/skiff/local/network/relayproto"
)

// DialContext connects to an address of the cluster: a pod's or a Service's address, or a Service's DNS name, with or
// without the cluster's domain. Services are resolved to an endpoint here. Anything else is dialled as usual.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %q is no port", addr, portText)
	}
	backends, ours, err := n.program.resolve(host, uint16(port), protocolOf(network))
	switch {
	case err != nil:
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	case ours:
		return n.dialFirst(ctx, network, addr, backends)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !n.cfg.Subnet.Contains(ip) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	return n.dialCluster(ctx, network, netip.AddrPortFrom(ip, uint16(port)))
}

// dialFirst connects to the first backend that takes the connection.
func (n *Network) dialFirst(ctx context.Context, network, addr string, backends []netip.AddrPort) (net.Conn, error) {
	failed := errors.New("no endpoint is ready")
	for _, b := range backends {
		conn, err := n.dialCluster(ctx, network, b)
		if err == nil {
			return conn, nil
		}
		failed = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("dial %s: %w", addr, failed)
}

// dialCluster connects to an address on the pod network.
func (n *Network) dialCluster(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	if n.direct.Load() {
		var d net.Dialer
		return d.DialContext(ctx, network, addr.String())
	}
	return n.dialRelay(ctx, network, addr)
}

// dialRelay connects through the session.
func (n *Network) dialRelay(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	session, _ := n.link.current()
	if session == nil {
		return nil, errNoRelay
	}
	stream, err := session.OpenStream()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoRelay, err)
	}
	stop := context.AfterFunc(ctx, func() { stream.Close(); stream.SetDeadline(aLongTimeAgo) })
	transport := protocolOf(network).String()
	var opened relayproto.Opened
	err = relayproto.WriteFrame(stream, relayproto.Open{Kind: relayproto.Dial, Network: transport, Address: addr.String()})
	if err == nil {
		err = relayproto.ReadFrame(stream, &opened)
	}
	if !stop() {
		stream.Close()
		return nil, ctx.Err()
	}
	if err != nil || opened.Error != "" {
		stream.Close()
		return nil, relayDialError(network, addr, opened, err)
	}
	if transport == "udp" {
		return relayproto.PacketConn{Conn: stream}, nil
	}
	return relayproto.Conn{Stream: stream}, nil
}

// relayDialError makes what the relay could not do look like what the kernel says here, since callers look for it.
func relayDialError(network string, addr netip.AddrPort, opened relayproto.Opened, err error) error {
	if err == nil {
		err = errors.New(opened.Error)
		if opened.Refused {
			err = syscall.ECONNREFUSED
		}
	}
	return &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(addr), Err: err}
}

func protocolOf(network string) relayproto.Protocol {
	switch network {
	case "udp", "udp4":
		return relayproto.UDP
	}
	return relayproto.TCP
}
