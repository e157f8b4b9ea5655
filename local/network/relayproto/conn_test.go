package relayproto

import (
	"io"
	"net"
	"testing"

	"github.com/hashicorp/yamux"
)

// A forwarded port once waited for good: nobody could tell the end of what is sent from the end of the connection.
func TestTheEndOfOneDirectionIsNotTheEndOfTheOther(t *testing.T) {
	here, there := net.Pipe()
	client, err := yamux.Client(here, SessionConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := yamux.Server(there, SessionConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			stream, err := server.AcceptStream()
			if err != nil {
				return
			}
			go func() {
				got, _ := io.ReadAll(stream)
				if len(got) == 0 {
					return // silent, and open still
				}
				_, _ = stream.Write(append([]byte("got "), got...))
				_ = stream.Close()
			}()
		}
	}()
	open := func() net.Conn {
		t.Helper()
		stream, err := client.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		return Conn{stream}
	}

	asking := open()
	_, _ = asking.Write([]byte("this"))
	half, ok := asking.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("nobody could end one direction")
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(asking); string(got) != "got this" || err != nil {
		t.Errorf("the answer to what has ended: %q, %v", got, err)
	}

	waiting := open()
	ended := make(chan error, 1)
	go func() { _, err := waiting.Read(make([]byte, 1)); ended <- err }()
	_ = waiting.Close()
	if err := <-ended; err == nil {
		t.Error("a closed connection was read from")
	}
}
