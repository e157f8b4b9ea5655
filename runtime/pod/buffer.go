package pod

import "sync"

// A limitedBuffer keeps the last bytes written to it, from several goroutines.
type limitedBuffer struct {
	mu   sync.Mutex
	data []byte
}

// bufferLimit is how much output of probes, hooks and logs is kept: what fits an event is far less.
const bufferLimit = 16 * 1024

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	if over := len(b.data) - bufferLimit; over > 0 {
		b.data = append(b.data[:0], b.data[over:]...)
	}
	return len(p), nil
}

func (b *limitedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]byte(nil), b.data...)
}

func (b *limitedBuffer) last(n int) string {
	data := b.bytes()
	return string(data[max(0, len(data)-n):])
}
