package listen

import (
	"bufio"
	"net"
	"net/netip"
	"testing"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

func TestAConnectionIsUnansweredUntilItsEndpointSpeaks(t *testing.T) {
	m, _ := newManager(t)
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	port, to := Port{Addr: freeAddr(t), Protocol: relayproto.TCP}, silent.Addr().(*net.TCPAddr).AddrPort()
	m.Set(web, map[Port]Target{port: {Backends: []netip.AddrPort{to}}})
	begin := time.Now()
	unanswered := func(after time.Time) bool { return m.unanswered.since(to.Addr(), after) != nil }
	becomes := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); unanswered(begin) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("unanswered: %v", !want)
			}
		}
	}
	client, err := net.Dial("tcp4", port.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	becomes(true)
	if unanswered(time.Now()) {
		t.Error("a connection that is older than asked for counts")
	}
	answered := make(chan struct{})
	go func() { m.AwaitAnswers(t.Context(), to.Addr(), begin); close(answered) }()
	server, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("first\nsecond\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Fatal("who waits for the answer is not told of it")
	}
	becomes(false)
	server.Close()
	for lines, want := bufio.NewReader(client), []string{"first\n", "second\n"}; len(want) > 0; want = want[1:] {
		if got, err := lines.ReadString('\n'); got != want[0] {
			t.Errorf("%q, %v; want %q", got, err, want[0])
		}
	}

	// One that ends without a word is none either.
	other, err := net.Dial("tcp4", port.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	becomes(true)
	other.Close()
	if server, err = silent.Accept(); err != nil {
		t.Fatal(err)
	}
	server.Close()
	becomes(false)
}
