package daemon

import (
	"net"
	"testing"

	"skiff.local/skiff/local/client"
)

func TestListenAPIKeepsItsPortOrSaysWhy(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	taken := held.Addr().(*net.TCPAddr).Port

	moved, err := listenAPI(taken, false, nil)
	if err != nil {
		t.Fatalf("a port that skiff chose and that is taken now: %v", err)
	}
	defer moved.Close()
	port := moved.Addr().(*net.TCPAddr).Port
	if port < firstAPIPort || port > lastAPIPort {
		t.Errorf("moved to port %d", port)
	}

	_, err = listenAPI(taken, true, nil)
	if f := client.AsFailure(err); f == nil || f.Reason != client.ReasonPortInUse || f.Hint == "" {
		t.Errorf("a fixed port that is taken: %#v", err)
	}

	next, err := listenAPI(0, false, map[int]bool{port + 1: true})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if got := next.Addr().(*net.TCPAddr).Port; got == port+1 {
		t.Errorf("took port %d, which another profile has", got)
	}
}
