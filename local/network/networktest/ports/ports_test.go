package ports

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestAFreePortCanBeListenedAt(t *testing.T) {
	if err := probe(Free(t)); err != nil {
		t.Error(err)
	}
}

func TestAHeldPortIsNotFree(t *testing.T) {
	holder, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := probe(holder.Addr().(*net.TCPAddr).AddrPort().Port()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, want that it is in use", err)
	}
}

func TestNobodyCanListenWhereConnectionsAreRefused(t *testing.T) {
	at := Refusing(t).String()
	if _, err := net.Dial("tcp4", at); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection: %v, want a refusal", err)
	}
	if _, err := net.Listen("tcp4", at); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a listener: %v, want that it is in use", err)
	}
}
