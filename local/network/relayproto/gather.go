package relayproto

import (
	"io"
	"sync"
)

// Gather makes Write return at once and sends what has come together since the last time in one piece. The multiplexer
// writes each frame in two parts, and behind an engine's exec every part wakes four processes on its way: under load this
// halved what a request through the relay costs.
func Gather(wire io.ReadWriteCloser) io.ReadWriteCloser {
	g := &gathered{ReadWriteCloser: wire}
	g.changed.L = &g.mu
	go g.send()
	return g
}

// gatherLimit bounds what waits to be sent: then Write waits too. Chosen: a pipe's usual capacity, a few times.
const gatherLimit = 256 << 10

type gathered struct {
	io.ReadWriteCloser

	mu      sync.Mutex
	changed sync.Cond
	waiting []byte // guarded by mu
	err     error  // why nothing can be sent any more; guarded by mu
}

// Write implements io.Writer. An error may be that of an earlier Write.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) >= gatherLimit && g.err == nil {
		g.changed.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	g.waiting = append(g.waiting, p...)
	g.changed.Broadcast()
	return len(p), nil
}

func (g *gathered) send() {
	var sending []byte
	for {
		g.mu.Lock()
		for len(g.waiting) == 0 && g.err == nil {
			g.changed.Wait()
		}
		if g.err != nil {
			g.mu.Unlock()
			return
		}
		sending, g.waiting = g.waiting, sending[:0]
		g.changed.Broadcast()
		g.mu.Unlock()
		if _, err := g.ReadWriteCloser.Write(sending); err != nil {
			g.fail(err)
			return
		}
	}
}

func (g *gathered) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	g.changed.Broadcast()
}

// Close drops what has not been sent.
func (g *gathered) Close() error {
	g.fail(io.ErrClosedPipe)
	return g.ReadWriteCloser.Close()
}
