package forward

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// soon is when headers, and what has come of a body of known length, go on at the latest. To flush every piece of such bodies
// costs a fifth of the CPU time of a request (BenchmarkProxy).
const soon = 5 * time.Millisecond

// pass passes on a body as it comes. What has no length, or is events, goes on at once.
func (p *Proxy) pass(w http.ResponseWriter, res *http.Response) error {
	buf, to := p.buffers.Get(), p.passing.Get().(*passing)
	defer func() {
		to.end()
		p.buffers.Put(buf)
		p.passing.Put(to)
	}()
	wait := soon
	if res.ContentLength < 0 || strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		wait = 0
	}
	to.begin(w, wait)
	for left := res.ContentLength; ; {
		n, err := res.Body.Read(buf)
		left -= int64(n)
		if n > 0 {
			if err := to.write(buf[:n], left != 0); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// passing is a response that must not stay in buffers. It is used for one response after the other, for its timer's sake.
type passing struct {
	mu    sync.Mutex
	to    http.ResponseWriter // guarded by mu; nil between responses
	wait  time.Duration       // guarded by mu
	timer *time.Timer         // guarded by mu
	armed bool                // guarded by mu; something waits to be flushed
}

// begin starts with a response whose headers have been written.
func (p *passing) begin(to http.ResponseWriter, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to, p.wait = to, wait
	p.flushSoonLocked()
}

// write writes a piece. The server flushes the last one.
func (p *passing) write(piece []byte, more bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.to.Write(piece); err != nil {
		return err
	}
	if more {
		p.flushSoonLocked()
	}
	return nil
}

func (p *passing) flushSoonLocked() {
	switch {
	case p.wait == 0:
		_ = http.NewResponseController(p.to).Flush()
	case p.armed:
	case p.timer == nil:
		p.timer, p.armed = time.AfterFunc(p.wait, p.flush), true
	default:
		p.timer.Reset(p.wait)
		p.armed = true
	}
}

// flush may come late, from the response before: one is then flushed earlier than it must be.
func (p *passing) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed {
		_ = http.NewResponseController(p.to).Flush()
		p.armed = false
	}
}

func (p *passing) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.to, p.armed = nil, false
}

// buffers are what bodies are copied with.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new([32 << 10]byte) }}}
}

func (b *buffers) Get() []byte { return b.pool.Get().(*[32 << 10]byte)[:] }
func (b *buffers) Put(p []byte) {
	if len(p) == 32<<10 {
		b.pool.Put((*[32 << 10]byte)(p))
	}
}
