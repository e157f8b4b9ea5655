package httpproxy

import (
	"fmt"
	"os"
	"sync"
)

// maxLog is when a new part begins; chosen, some fifty thousand requests.
const maxLog = 8 << 20

// A RotatedLog is an access log in a file of bounded size. It opens its file with the first line.
type RotatedLog struct {
	path string

	mu   sync.Mutex
	file *os.File // guarded by mu
	size int64    // guarded by mu
}

// NewRotatedLog returns a log in a file; with the suffix ".1" it is the part before.
func NewRotatedLog(path string) *RotatedLog { return &RotatedLog{path: path} }

// Write appends to the log.
func (l *RotatedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.size+int64(len(p)) > maxLog {
		if err := l.openLocked(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *RotatedLog) openLocked() error {
	if l.file != nil {
		l.file.Close()
		l.file = nil
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return fmt.Errorf("begin a new access log: %w", err)
		}
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the access log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open the access log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Close closes the file.
func (l *RotatedLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
