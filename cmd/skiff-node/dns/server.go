package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ttl of the cluster's own answers, in seconds: CoreDNS's default for Kubernetes.
const ttl = 5

// Config says what a Server answers.
type Config struct {
	Zone    *Zone
	Domain  string       // "cluster.local"
	Cluster netip.Prefix // where reverse lookups are the cluster's, found or not
	// Fixed are further names of one address each, and Texts names of one text, lower case, without trailing dot.
	Fixed map[string]netip.Addr
	Texts map[string]string
	// Upstream answers for every other name.
	Upstream []netip.AddrPort
}

// A Server answers queries over UDP and TCP.
type Server struct {
	resolver resolver
	forward  *forwarder
}

// New returns a server; Listen makes it answer.
func New(cfg Config) *Server {
	return &Server{
		resolver: resolver{zone: cfg.Zone, domain: strings.ToLower(cfg.Domain), fixed: cfg.Fixed, texts: cfg.Texts, cluster: cfg.Cluster},
		forward:  newForwarder(cfg.Upstream, cfg.Zone),
	}
}

// Listen binds addr for UDP and TCP and answers there until ctx ends.
func (s *Server) Listen(ctx context.Context, addr netip.AddrPort) error {
	packets, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return fmt.Errorf("listen for DNS: %w", err)
	}
	streams, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		packets.Close()
		return fmt.Errorf("listen for DNS: %w", err)
	}
	context.AfterFunc(ctx, func() { packets.Close(); streams.Close() })
	go s.serveUDP(packets)
	go s.serveTCP(streams)
	return nil
}

func (s *Server) serveUDP(conn *net.UDPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, client, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		q, err := parseQuery(buf[:n])
		if err != nil {
			continue
		}
		// Names of the cluster are answered on the spot; what must be forwarded waits elsewhere.
		if reply := s.local(q); reply != nil {
			conn.WriteToUDPAddrPort(reply.pack(q.size), client)
			continue
		}
		q.raw = append([]byte(nil), buf[:n]...)
		go func() {
			conn.WriteToUDPAddrPort(fit(s.remote(q, false), q), client)
		}()
	}
}

// idleTCP closes a DNS connection on which nothing is asked; RFC 7766 suggests a few seconds.
const idleTCP = 10 * time.Second

func (s *Server) serveTCP(listener *net.TCPListener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go s.serveConn(conn)
	}
}

func (s *Server) serveConn(conn net.Conn) {
	defer conn.Close()
	for {
		conn.SetDeadline(time.Now().Add(idleTCP))
		raw, err := readTCP(conn)
		if err != nil {
			return
		}
		q, err := parseQuery(raw)
		if err != nil {
			return
		}
		q.raw = raw
		var wire []byte
		if reply := s.local(q); reply != nil {
			wire = reply.pack(64<<10 - 1)
		} else {
			wire = s.remote(q, true)
		}
		if err := writeTCP(conn, wire); err != nil {
			return
		}
	}
}

// A query is the parsed part of a question that matters.
type query struct {
	header dnsmessage.Header
	q      dnsmessage.Question
	name   string // lower case, without the trailing dot
	edns   bool
	size   int // what the client takes in one packet
	raw    []byte
}

func parseQuery(wire []byte) (query, error) {
	var p dnsmessage.Parser
	header, err := p.Start(wire)
	if err != nil {
		return query{}, err
	}
	if header.Response {
		return query{}, errors.New("not a query")
	}
	q := query{header: header, size: 512}
	if q.q, err = p.Question(); err != nil {
		return query{}, err
	}
	q.name = strings.ToLower(strings.TrimSuffix(q.q.Name.String(), "."))
	if p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, nil
	}
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			return q, nil
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns = true
			q.size = max(512, int(h.Class))
		}
		if p.SkipAdditional() != nil {
			return q, nil
		}
	}
}

// local answers what is the cluster's, and nil otherwise.
func (s *Server) local(q query) *reply {
	if q.header.OpCode != 0 {
		return &reply{q: q, answer: answer{rcode: dnsmessage.RCodeNotImplemented}}
	}
	if q.q.Class != dnsmessage.ClassINET && q.q.Class != dnsmessage.ClassANY {
		return &reply{q: q, answer: answer{rcode: dnsmessage.RCodeRefused}}
	}
	a, ours := s.resolver.lookup(q.name, q.q.Type)
	if !ours || a.alias != "" {
		return nil
	}
	shuffle(a.records)
	return &reply{q: q, answer: a, soa: s.resolver.domain}
}

// remote answers what has to be asked elsewhere: the packed reply, of any size.
func (s *Server) remote(q query, tcp bool) []byte {
	a, ours := s.resolver.lookup(q.name, q.q.Type)
	if !ours {
		wire, err := s.forward.exchange(q, tcp)
		if err != nil {
			return (&reply{q: q, answer: answer{rcode: dnsmessage.RCodeServerFailure}}).pack(512)
		}
		return wire
	}
	if a.alias != "" {
		behind, err := s.forward.addresses(a.alias, q.q.Type)
		if err != nil {
			a.rcode = dnsmessage.RCodeServerFailure
		}
		a.records = append(a.records, behind...)
	}
	return (&reply{q: q, answer: a, soa: s.resolver.domain}).pack(64<<10 - 1)
}

// shuffle spreads clients that take the first address. Aliases stay in front of what they point to.
func shuffle(records []record) {
	for _, r := range records {
		if _, ok := r.body.(*dnsmessage.CNAMEResource); ok {
			return
		}
	}
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
}

// fit truncates a forwarded answer that is larger than the client takes.
func fit(wire []byte, q query) []byte {
	if len(wire) <= q.size {
		return wire
	}
	r := &reply{q: q, truncated: true}
	return r.pack(q.size)
}

func readTCP(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	wire := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(r, wire)
	return wire, err
}

func writeTCP(w io.Writer, wire []byte) error {
	frame := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(wire)), uint16(len(wire)))
	_, err := w.Write(append(frame, wire...))
	return err
}
