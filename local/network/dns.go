package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"skiff.local/skiff/local/network/relayproto"
)

// aLongTimeAgo as a deadline unblocks whoever reads or writes.
var aLongTimeAgo = time.Unix(1, 0)

// WaitDNS returns when the cluster's DNS, asked as a pod asks it, knows the Service of the API.
func (n *Network) WaitDNS(ctx context.Context) error {
	const pause = 5 * time.Millisecond // chosen: a tenth of what a start takes at its fastest
	name := "kubernetes.default.svc." + n.cfg.ClusterDomain
	for {
		ips, err := n.lookup(ctx, n.dialCluster, DNSAddr(n.cfg.Subnet), name)
		if err == nil && len(ips) > 0 {
			return nil
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("wait for the cluster's DNS: %w", errors.Join(ctx.Err(), err))
		}
	}
}

type dialFunc func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)

func (n *Network) lookup(ctx context.Context, dial dialFunc, server netip.Addr, name string) ([]netip.Addr, error) {
	reply, err := n.ask(ctx, dial, server, name, dnsmessage.TypeA)
	if err != nil {
		return nil, err
	}
	var ips []netip.Addr
	for _, r := range reply {
		if a, ok := r.Body.(*dnsmessage.AResource); ok {
			ips = append(ips, netip.AddrFrom4(a.A))
		}
	}
	return ips, nil
}

// askTimeout bounds one question to the relay.
const askTimeout = time.Second

// ask puts one question over TCP, which also works through the session.
func (n *Network) ask(ctx context.Context, dial dialFunc, server netip.Addr, name string, qtype dnsmessage.Type) ([]dnsmessage.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	qname, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: qname, Type: qtype, Class: dnsmessage.ClassINET}},
	}
	wire, err := query.Pack()
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, "tcp", netip.AddrPortFrom(server, 53))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(aLongTimeAgo) })
	defer stop()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	var reply dnsmessage.Message
	if err := reply.Unpack(body); err != nil {
		return nil, err
	}
	if reply.RCode != dnsmessage.RCodeSuccess {
		return nil, fmt.Errorf("look up %s: %s", name, strings.TrimPrefix(reply.RCode.String(), "RCode"))
	}
	return reply.Answers, nil
}

// probeDirect finds out whether pod addresses can be dialled from here: the answer must come from this very relay, so
// that somebody else's network with the same addresses is not mistaken for it.
func (n *Network) probeDirect(instance string) {
	dial := func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr.String())
	}
	direct := false
	for range 3 {
		reply, err := n.ask(context.Background(), dial, RelayAddr(n.cfg.Subnet), relayproto.InstanceName, dnsmessage.TypeTXT)
		if err != nil {
			time.Sleep(20 * time.Millisecond) // the relay may be just about to listen
			continue
		}
		for _, r := range reply {
			if txt, ok := r.Body.(*dnsmessage.TXTResource); ok && len(txt.TXT) == 1 && txt.TXT[0] == instance {
				direct = true
			}
		}
		break
	}
	n.direct.Store(direct)
	n.log.Info("pod addresses", "direct", direct)
}
