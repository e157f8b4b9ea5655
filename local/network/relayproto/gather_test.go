package relayproto

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// slowWire takes one piece for each token.
type slowWire struct {
	tokens chan struct{}
	pieces chan []byte
	closed chan struct{}
}

func (w *slowWire) Read([]byte) (int, error) { <-w.closed; return 0, io.EOF }
func (w *slowWire) Close() error             { close(w.closed); return nil }
func (w *slowWire) Write(p []byte) (int, error) {
	select {
	case <-w.tokens:
	case <-w.closed:
		return 0, io.ErrClosedPipe
	}
	w.pieces <- bytes.Clone(p)
	return len(p), nil
}

func TestWhatComesTogetherIsSentInOnePieceAndInOrder(t *testing.T) {
	wire := &slowWire{tokens: make(chan struct{}), pieces: make(chan []byte, 10), closed: make(chan struct{})}
	g := Gather(wire)
	var want []byte
	for i := range 100 {
		p := []byte{byte(i), byte(i), byte(i)}
		want = append(want, p...)
		if n, err := g.Write(p); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	var got []byte
	pieces := 0
	for len(got) < len(want) {
		wire.tokens <- struct{}{}
		got = append(got, <-wire.pieces...)
		pieces++
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	// The first write may have been on its way before the others came.
	if pieces > 2 {
		t.Errorf("100 writes went out in %d pieces", pieces)
	}
}

func TestAWireThatTakesNothingHoldsWritersUntilItIsClosed(t *testing.T) {
	wire := &slowWire{tokens: make(chan struct{}), closed: make(chan struct{})}
	g := Gather(wire)
	failed := make(chan error)
	go func() {
		for {
			if _, err := g.Write(make([]byte, 64<<10)); err != nil {
				failed <- err
				return
			}
		}
	}()
	g.Close()
	if err := <-failed; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error = %v", err)
	}
}
