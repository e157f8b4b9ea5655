package listen

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"skiff.local/skiff/local/network/networktest/ports"
	"skiff.local/skiff/local/network/relayproto"
)

// backend answers every TCP connection with its name and what it was sent.
func backend(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadString('\n')
				io.WriteString(c, name+" "+line)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// freeAddr is an address to listen at.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ports.Free(t))
}

type recorder struct {
	mu     sync.Mutex
	failed []Problem
	opened []Port
}

func newManager(t *testing.T) (*Manager, *recorder) {
	t.Helper()
	r := &recorder{}
	m := New(Config{
		Dial: func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addr.String())
		},
		Failed: func(p Problem) { r.mu.Lock(); defer r.mu.Unlock(); r.failed = append(r.failed, p) },
		Opened: func(_ Owner, p Port) { r.mu.Lock(); defer r.mu.Unlock(); r.opened = append(r.opened, p) },
	})
	t.Cleanup(m.Close)
	return m, r
}

func ask(t *testing.T, at netip.AddrPort) (string, error) {
	t.Helper()
	c, err := net.DialTimeout("tcp", at.String(), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	// A reset is told once: to the write when it was there before it, and the
	// read then sees an end.
	if _, err := io.WriteString(c, "hi\n"); err != nil {
		return "", err
	}
	out, err := io.ReadAll(c)
	return strings.TrimSpace(string(out)), err
}

var web = Owner{Kind: "Service", Namespace: "default", Name: "web"}

func TestAConnectionGoesToAnEndpointThatTakesIt(t *testing.T) {
	m, _ := newManager(t)
	port := Port{Addr: freeAddr(t), Protocol: relayproto.TCP}
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{ports.Refusing(t), backend(t, "one"), ports.Refusing(t)}}})
	for range 10 {
		if got, err := ask(t, port.Addr); got != "one hi" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

func TestWithoutEndpointsAConnectionIsReset(t *testing.T) {
	m, _ := newManager(t)
	port := Port{Addr: freeAddr(t), Protocol: relayproto.TCP}
	m.Set(web, map[Port]Target{port: {}})
	if _, err := ask(t, port.Addr); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error = %v, want a reset", err)
	}
}

func TestAChangeOfEndpointsIsSeenByTheNextConnection(t *testing.T) {
	m, _ := newManager(t)
	port := Port{Addr: freeAddr(t), Protocol: relayproto.TCP}
	one, two := backend(t, "one"), backend(t, "two")
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{one}}})
	if got, _ := ask(t, port.Addr); got != "one hi" {
		t.Fatalf("got %q", got)
	}
	begin := time.Now()
	open, err := net.Dial("tcp", port.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	// The connection counts as made once its other end is.
	for deadline := begin.Add(10 * time.Second); m.unanswered.since(one.Addr(), begin) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no endpoint has the connection")
		}
	}
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{two}}})
	if got, _ := ask(t, port.Addr); got != "two hi" {
		t.Fatalf("got %q", got)
	}
	m.Set(web, nil)
	io.WriteString(open, "still here\n")
	if got, _ := io.ReadAll(open); string(got) != "one still here\n" {
		t.Errorf("an open connection was not drained: %q", got)
	}
	if _, err := net.Dial("tcp", port.Addr.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port that nobody wants: %v", err)
	}
}

func TestAffinityKeepsAClientOnItsEndpoint(t *testing.T) {
	m, _ := newManager(t)
	port := Port{Addr: freeAddr(t), Protocol: relayproto.TCP}
	all := []netip.AddrPort{backend(t, "one"), backend(t, "two"), backend(t, "three")}
	m.Set(web, map[Port]Target{port: {Backends: all, Affinity: time.Hour}})
	first, _ := ask(t, port.Addr)
	for range 10 {
		if got, _ := ask(t, port.Addr); got != first {
			t.Fatalf("went to %q after %q", got, first)
		}
	}
}

func TestAPortThatIsTakenComesAliveWhenItIsFree(t *testing.T) {
	m, r := newManager(t)
	holder, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := Port{Addr: holder.Addr().(*net.TCPAddr).AddrPort(), Protocol: relayproto.TCP}
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{backend(t, "one")}}})
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{backend(t, "two")}}})
	problems := m.Problems()
	if len(problems) != 1 || !errors.Is(problems[0].Err, syscall.EADDRINUSE) {
		t.Fatalf("problems = %+v", problems)
	}
	if h := problems[0].Holder; h != "" && !strings.Contains(h, "listen") {
		t.Errorf("holder = %q", h)
	}
	r.mu.Lock()
	if len(r.failed) != 1 {
		t.Errorf("told %d times about one failure", len(r.failed))
	}
	r.mu.Unlock()
	holder.Close()
	deadline := time.Now().Add(5 * time.Second)
	for len(m.Problems()) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if got, err := ask(t, port.Addr); got != "two hi" {
		t.Errorf("got %q, %v", got, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.opened) != 1 {
		t.Errorf("told %d times that it is open", len(r.opened))
	}
}

func TestTwoServicesCantHaveOnePort(t *testing.T) {
	m, _ := newManager(t)
	other := Owner{Kind: "Service", Namespace: "default", Name: "other"}
	port := Port{Addr: freeAddr(t), Protocol: relayproto.TCP}
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{backend(t, "web")}}})
	m.Set(other, map[Port]Target{port: {Backends: []netip.AddrPort{backend(t, "other")}}})
	if p := m.Problems(); len(p) != 1 || p[0].Owner != other || p[0].Holder != "Service default/web" {
		t.Fatalf("problems = %+v", p)
	}
	if got, _ := ask(t, port.Addr); got != "web hi" {
		t.Errorf("got %q", got)
	}
	m.Set(web, nil)
	if got, err := ask(t, port.Addr); got != "other hi" {
		t.Errorf("the one that waited: %q, %v", got, err)
	}
}

func TestUDPFlowsFollowTheEndpoints(t *testing.T) {
	m, _ := newManager(t)
	echo := func(name string) netip.AddrPort {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 100)
			for {
				n, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				c.WriteToUDPAddrPort(append([]byte(name+" "), buf[:n]...), from)
			}
		}()
		return c.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	one, two := echo("one"), echo("two")
	port := Port{Addr: freeAddr(t), Protocol: relayproto.UDP}
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{one}}})
	c, err := net.Dial("udp", port.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say := func(want string) {
		t.Helper()
		c.SetDeadline(time.Now().Add(3 * time.Second))
		io.WriteString(c, "x")
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if string(buf[:n]) != want {
			t.Errorf("got %q, %v; want %q", buf[:n], err, want)
		}
	}
	say("one x")
	say("one x")
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{two}}})
	say("two x")
}
