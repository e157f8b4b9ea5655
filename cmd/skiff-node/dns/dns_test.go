package dns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"skiff.local/skiff/local/network/networktest/ports"
	"skiff.local/skiff/local/network/relayproto"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func testZone() *Zone {
	z := NewZone()
	z.Apply(relayproto.Update{
		Full: true, Namespaces: []string{"default", "shop", "empty"},
		Services: []relayproto.Service{
			{
				Key: relayproto.Key{Namespace: "default", Name: "web"}, ClusterIPs: []netip.Addr{addr("10.244.128.9")},
				Ports: []relayproto.Port{{Name: "http", Protocol: relayproto.TCP, Port: 80}, {Name: "dns", Protocol: relayproto.UDP, Port: 53}},
			},
			{
				Key: relayproto.Key{Namespace: "shop", Name: "db"}, Headless: true,
				Endpoints: []relayproto.Endpoint{
					{Addr: addr("10.244.0.7"), Hostname: "db-0", Ports: []relayproto.EndpointPort{{Name: "sql", Protocol: relayproto.TCP, Port: 5432}}},
					{Addr: addr("10.244.0.8"), Ports: []relayproto.EndpointPort{{Name: "sql", Protocol: relayproto.TCP, Port: 5433}}},
				},
			},
			{Key: relayproto.Key{Namespace: "shop", Name: "none"}, Headless: true},
			{Key: relayproto.Key{Namespace: "shop", Name: "away"}, ExternalName: "db.example.org"},
			{Key: relayproto.Key{Namespace: "shop", Name: "alias"}, ExternalName: "web.default.svc.cluster.local"},
			{Key: relayproto.Key{Namespace: "shop", Name: "loop"}, ExternalName: "loop.shop.svc.cluster.local"},
		},
	})
	return z
}

func testResolver() *resolver {
	return &resolver{
		zone: testZone(), domain: "cluster.local", cluster: netip.MustParsePrefix("10.244.0.0/16"),
		fixed: map[string]netip.Addr{"host.skiff.local": addr("10.244.127.253")},
	}
}

// text writes an answer as one line: the code when there is no answer, otherwise the records in order.
func text(a answer, ours bool) string {
	if !ours {
		return "forward"
	}
	if len(a.records) == 0 {
		switch a.rcode {
		case dnsmessage.RCodeSuccess:
			return "no data"
		case dnsmessage.RCodeNameError:
			return "no name"
		}
		return a.rcode.String()
	}
	var parts []string
	for _, r := range append(slices.Clone(a.records), a.additional...) {
		switch b := r.body.(type) {
		case *dnsmessage.AResource:
			parts = append(parts, netip.AddrFrom4(b.A).String())
		case *dnsmessage.CNAMEResource:
			parts = append(parts, "->"+b.CNAME.String())
		case *dnsmessage.PTRResource:
			parts = append(parts, b.PTR.String())
		case *dnsmessage.SRVResource:
			parts = append(parts, b.Target.String()+":"+string(rune('0'+b.Port/1000))+"xxx")
		case *dnsmessage.TXTResource:
			parts = append(parts, b.TXT...)
		}
	}
	if a.alias != "" {
		parts = append(parts, "and forward "+a.alias)
	}
	return strings.Join(parts, " ")
}

func TestNamesMeanWhatTheSpecificationSays(t *testing.T) {
	r := testResolver()
	A, AAAA, SRV, PTR, TXT := dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV, dnsmessage.TypePTR, dnsmessage.TypeTXT
	for _, c := range []struct {
		name  string
		qtype dnsmessage.Type
		want  string
	}{
		{"web.default.svc.cluster.local", A, "10.244.128.9"},
		{"web.default.svc.cluster.local", AAAA, "no data"},
		{"web.default.svc.cluster.local", TXT, "no data"},
		{"web.shop.svc.cluster.local", A, "no name"},
		{"x.web.default.svc.cluster.local", A, "no name"},
		{"_http._tcp.web.default.svc.cluster.local", SRV, "web.default.svc.cluster.local.:0xxx 10.244.128.9"},
		{"_http._tcp.web.default.svc.cluster.local", A, "no data"},
		{"_http._udp.web.default.svc.cluster.local", SRV, "no name"},
		{"_tcp.web.default.svc.cluster.local", SRV, "web.default.svc.cluster.local.:0xxx 10.244.128.9"},
		{"web.default.svc.cluster.local", SRV, "web.default.svc.cluster.local.:0xxx web.default.svc.cluster.local.:0xxx 10.244.128.9"},
		{"db.shop.svc.cluster.local", A, "10.244.0.7 10.244.0.8"},
		{"db-0.db.shop.svc.cluster.local", A, "10.244.0.7"},
		{"10-244-0-8.db.shop.svc.cluster.local", A, "10.244.0.8"},
		{"10-244-0-7.db.shop.svc.cluster.local", A, "no name"},
		{"_sql._tcp.db.shop.svc.cluster.local", SRV, "db-0.db.shop.svc.cluster.local.:5xxx 10-244-0-8.db.shop.svc.cluster.local.:5xxx 10.244.0.7 10.244.0.8"},
		{"none.shop.svc.cluster.local", A, "no name"},
		{"away.shop.svc.cluster.local", A, "->db.example.org. and forward db.example.org"},
		{"away.shop.svc.cluster.local", dnsmessage.TypeCNAME, "->db.example.org."},
		{"alias.shop.svc.cluster.local", A, "->web.default.svc.cluster.local. 10.244.128.9"},
		{"loop.shop.svc.cluster.local", A, "->loop.shop.svc.cluster.local."},
		{"1-2-3-4.default.pod.cluster.local", A, "1.2.3.4"},
		{"1-2-3.default.pod.cluster.local", A, "no name"},
		{"1-2-3-4.gone.pod.cluster.local", A, "no name"},
		{"default.svc.cluster.local", A, "no data"},
		{"gone.svc.cluster.local", A, "no name"},
		{"svc.cluster.local", A, "no data"},
		{"cluster.local", A, "no data"},
		{"other.cluster.local", A, "no name"},
		{"dns-version.cluster.local", TXT, "1.1.0"},
		{"9.128.244.10.in-addr.arpa", PTR, "web.default.svc.cluster.local."},
		{"7.0.244.10.in-addr.arpa", PTR, "db-0.db.shop.svc.cluster.local."},
		{"99.0.244.10.in-addr.arpa", PTR, "no name"},
		{"8.8.8.8.in-addr.arpa", PTR, "forward"},
		{"host.skiff.local", A, "10.244.127.253"},
		{"host.skiff.local", AAAA, "no data"},
		{"example.org", A, "forward"},
		{"cluster.local.example.org", A, "forward"},
	} {
		a, ours := r.lookup(c.name, c.qtype)
		if got := text(a, ours); got != c.want {
			t.Errorf("%s %s = %q, want %q", c.qtype, c.name, got, c.want)
		}
	}
}

func TestAnUpdateReplacesWhatItNames(t *testing.T) {
	z := testZone()
	r := &resolver{zone: z, domain: "cluster.local", cluster: netip.MustParsePrefix("10.244.0.0/16")}
	key := relayproto.Key{Namespace: "default", Name: "web"}
	z.Apply(relayproto.Update{Services: []relayproto.Service{{Key: key, ClusterIPs: []netip.Addr{addr("10.244.128.10")}}}})
	if got := text(r.lookup("9.128.244.10.in-addr.arpa", dnsmessage.TypePTR)); got != "no name" {
		t.Errorf("the old address is still %q", got)
	}
	z.Apply(relayproto.Update{Removed: []relayproto.Key{key}})
	if got := text(r.lookup("web.default.svc.cluster.local", dnsmessage.TypeA)); got != "no name" {
		t.Errorf("a removed Service is %q", got)
	}
	if got := text(r.lookup("db.shop.svc.cluster.local", dnsmessage.TypeA)); got == "no name" {
		t.Error("an update took away what it did not name")
	}
	z.Apply(relayproto.Update{Full: true})
	if got := text(r.lookup("db.shop.svc.cluster.local", dnsmessage.TypeA)); got != "no name" {
		t.Errorf("a full update without it left %q", got)
	}
}

func TestAZoneThatWasToldNothingFailsForNow(t *testing.T) {
	r := &resolver{zone: NewZone(), domain: "cluster.local"}
	if got := text(r.lookup("web.default.svc.cluster.local", dnsmessage.TypeA)); got != "RCodeServerFailure" {
		t.Errorf("answer = %q: a resolver would remember it", got)
	}
}

// upstream answers every question with one address and counts.
type upstream struct {
	conn  *net.UDPConn
	asked chan string
}

func startUpstream(t *testing.T, ttl uint32) (*upstream, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	u := &upstream{conn: conn, asked: make(chan string, 100)}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			u.asked <- m.Questions[0].Name.String()
			m.Response, m.Additionals = true, nil
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: ttl},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}},
			}}
			wire, _ := m.Pack()
			conn.WriteToUDPAddrPort(wire, from)
		}
	}()
	return u, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func startServer(t *testing.T, cfg Config) netip.AddrPort {
	t.Helper()
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ports.Free(t))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if err := New(cfg).Listen(ctx, at); err != nil {
		t.Fatal(err)
	}
	return at
}

func exchange(t *testing.T, network string, at netip.AddrPort, name string) dnsmessage.Message {
	t.Helper()
	q := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 77, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	raw, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := ask(at, raw, network == "tcp")
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOtherNamesAreForwardedAndRemembered(t *testing.T) {
	up, at := startUpstream(t, 60)
	server := startServer(t, Config{Zone: testZone(), Domain: "cluster.local", Upstream: []netip.AddrPort{at}})
	for _, name := range []string{"example.org.", "EXAMPLE.org."} {
		m := exchange(t, "udp", server, name)
		if len(m.Answers) != 1 || m.Questions[0].Name.String() != name || m.ID != 77 {
			t.Errorf("answer to %s: %+v", name, m)
		}
	}
	if len(up.asked) != 1 {
		t.Errorf("upstream was asked %d times for one name", len(up.asked))
	}
	m := exchange(t, "udp", server, "away.shop.svc.cluster.local.")
	if len(m.Answers) != 2 {
		t.Errorf("an alias comes without what is behind it: %+v", m.Answers)
	}
}

func TestAnAnswerIsForgottenWithItsTTL(t *testing.T) {
	c := newCache(2)
	_, at := startUpstream(t, 3)
	q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	raw, _ := q.Pack()
	wire, err := ask(at, raw, false)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := parseQuery(raw)
	parsed.raw = raw
	key, begin := cacheKey{name: "a.example"}, time.Unix(1000, 0)
	c.put(key, wire, begin)
	got, ok := c.get(key, parsed, begin.Add(2*time.Second))
	if !ok {
		t.Fatal("forgotten too early")
	}
	var m dnsmessage.Message
	if err := m.Unpack(got); err != nil || m.Answers[0].Header.TTL != 1 {
		t.Errorf("TTL = %d after 2 of 3 seconds, %v", m.Answers[0].Header.TTL, err)
	}
	if _, ok := c.get(key, parsed, begin.Add(3*time.Second)); ok {
		t.Error("remembered beyond its TTL")
	}
	for i, name := range []string{"b", "c", "d", "e"} {
		c.put(cacheKey{name: name}, wire, begin.Add(time.Duration(i)))
	}
	if len(c.entries) > 2 {
		t.Errorf("the cache holds %d answers, its limit is 2", len(c.entries))
	}
}

func TestStubDomainsGoToTheirOwnServers(t *testing.T) {
	stub, stubAt := startUpstream(t, 60)
	zone := testZone()
	zone.Apply(relayproto.Update{Stubs: map[string][]netip.AddrPort{"corp.example.": {stubAt}}})
	server := startServer(t, Config{Zone: zone, Domain: "cluster.local"})
	if m := exchange(t, "udp", server, "git.corp.example."); len(m.Answers) != 1 {
		t.Errorf("answer: %+v", m)
	}
	zone.Apply(relayproto.Update{Hosts: map[string][]netip.Addr{"fixed.example": {addr("10.0.0.5")}}})
	if m := exchange(t, "udp", server, "fixed.example."); len(m.Answers) != 1 {
		t.Errorf("a fixed host: %+v", m)
	}
	if m := exchange(t, "udp", server, "corp.example.org."); m.RCode != dnsmessage.RCodeServerFailure {
		t.Errorf("a name that nobody answers for: %v", m.RCode)
	}
	if len(stub.asked) != 1 {
		t.Errorf("the stub was asked %d times", len(stub.asked))
	}
}

func TestALargeAnswerIsTruncatedOverUDPAndWholeOverTCP(t *testing.T) {
	zone := testZone()
	big := relayproto.Service{Key: relayproto.Key{Namespace: "default", Name: "big"}, Headless: true}
	for i := range 200 {
		big.Endpoints = append(big.Endpoints, relayproto.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 244, 1, byte(i)})})
	}
	zone.Apply(relayproto.Update{Services: []relayproto.Service{big}})
	server := startServer(t, Config{Zone: zone, Domain: "cluster.local"})
	m := exchange(t, "udp", server, "big.default.svc.cluster.local.")
	if !m.Truncated || len(m.Answers) == 0 {
		t.Errorf("over UDP: truncated %v with %d answers", m.Truncated, len(m.Answers))
	}
	if m := exchange(t, "tcp", server, "big.default.svc.cluster.local."); m.Truncated || len(m.Answers) != 200 {
		t.Errorf("over TCP: truncated %v with %d answers", m.Truncated, len(m.Answers))
	}
}

func TestANoCarriesTheAuthorityThatLimitsIt(t *testing.T) {
	server := startServer(t, Config{Zone: testZone(), Domain: "cluster.local"})
	m := exchange(t, "udp", server, "nothing.default.svc.cluster.local.")
	if m.RCode != dnsmessage.RCodeNameError || len(m.Authorities) != 1 || !m.Authoritative {
		t.Fatalf("%+v", m)
	}
	if soa, ok := m.Authorities[0].Body.(*dnsmessage.SOAResource); !ok || soa.MinTTL != ttl {
		t.Errorf("authority: %v", m.Authorities[0])
	}
}

func FuzzAnyPacketIsSurvived(f *testing.F) {
	q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("web.default.svc.cluster.local."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	raw, _ := q.Pack()
	f.Add(raw)
	s := New(Config{Zone: testZone(), Domain: "cluster.local", Cluster: netip.MustParsePrefix("10.244.0.0/16")})
	f.Fuzz(func(t *testing.T, wire []byte) {
		scanTTLs(wire)
		q, err := parseQuery(wire)
		if err != nil {
			return
		}
		q.raw = wire
		if reply := s.local(q); reply != nil {
			if out := reply.pack(q.size); len(out) > q.size {
				t.Errorf("%d bytes for a client that takes %d", len(out), q.size)
			}
		}
	})
}
