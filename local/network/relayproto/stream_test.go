package relayproto

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/yamux"
)

func TestAFrameReadsBackAsWritten(t *testing.T) {
	want := Update{
		Generation: 7, Full: true, Removed: []Key{{"a", "b"}}, Namespaces: []string{"default"},
		Services: []Service{{
			Key: Key{"default", "web"}, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.244.128.9")},
			Ports: []Port{{Name: "http", Protocol: TCP, Port: 80, NodePort: 30000,
				Backends: []netip.AddrPort{netip.MustParseAddrPort("10.244.0.2:8080")}}},
		}},
	}
	var wire bytes.Buffer
	if err := WriteFrame(&wire, want); err != nil {
		t.Fatal(err)
	}
	wire.WriteString("what follows")
	var got Update
	if err := ReadFrame(&wire, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
		t.Errorf("frame changed (-want +got):\n%s", diff)
	}
	if wire.String() != "what follows" {
		t.Errorf("reading a frame left %q", wire.String())
	}
}

func TestAFrameOverTheLimitIsRefusedUnread(t *testing.T) {
	err := ReadFrame(strings.NewReader("\xff\xff\xff\xff"), &Update{})
	if err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("error = %v", err)
	}
}

// sessions returns both ends of one multiplexed stream.
func streams(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	client, err := yamux.Client(a, SessionConfig())
	if err != nil {
		t.Fatal(err)
	}
	server, err := yamux.Server(b, SessionConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	near, err := client.Open()
	if err != nil {
		t.Fatal(err)
	}
	far, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func tcpPair(t *testing.T) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near.(*net.TCPConn), far.(*net.TCPConn)
}

func TestPipePassesOnAHalfCloseAndTheAnswerAfterIt(t *testing.T) {
	client, clientEnd := tcpPair(t)
	near, far := streams(t)
	go Pipe(clientEnd, near)
	go func() {
		request, _ := io.ReadAll(far)
		io.WriteString(far, "got "+string(request))
		far.Close()
	}()
	io.WriteString(client, "everything")
	client.CloseWrite()
	answer, err := io.ReadAll(client)
	if err != nil || string(answer) != "got everything" {
		t.Errorf("answer = %q, %v", answer, err)
	}
}

func TestPacketsKeepTheirBoundaries(t *testing.T) {
	near, far := streams(t)
	out, in := PacketConn{near}, PacketConn{far}
	for _, p := range []string{"one", "", "three"} {
		if _, err := out.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 2)
	for _, want := range []string{"on", "", "th"} {
		n, err := in.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("packet = %q, %v; want %q", buf[:n], err, want)
		}
	}
	if _, err := out.Write(make([]byte, maxPacket+1)); err == nil {
		t.Error("a packet larger than UDP carries was sent")
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		if len(wire) > 4 && wire[0] != 0 {
			t.Skip("allocates what it announces")
		}
		var u Update
		_ = ReadFrame(bytes.NewReader(wire), &u)
	})
}
