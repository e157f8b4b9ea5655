package accesslog

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// maxLog is when a new part begins; chosen, some fifty thousand requests.
const maxLog = 8 << 20

// What is gathered before it is written, and for how long; chosen. A write per request is a twentieth of the CPU time of one
// (BenchmarkProxy), and who follows the log does not notice a tenth of a second.
const (
	gathered   = 32 << 10
	gatherTime = 100 * time.Millisecond
)

// A File is an access log in a file of bounded size. It opens its file with the first lines, which it gathers for a moment.
type File struct {
	path string

	mu      sync.Mutex
	file    *os.File    // guarded by mu
	size    int64       // guarded by mu
	waiting []byte      // guarded by mu
	timer   *time.Timer // guarded by mu; nil unless something waits
}

// NewFile returns a log in a file; with the suffix ".1" it is the part before.
func NewFile(path string) *File { return &File{path: path} }

// Write appends to the log. An error may be of an earlier line.
func (l *File) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, p...)
	if len(l.waiting) >= gathered {
		return len(p), l.flushLocked()
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(gatherTime, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			_ = l.flushLocked()
		})
	}
	return len(p), nil
}

func (l *File) flushLocked() error {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	lines := l.waiting
	if l.waiting = lines[:0]; cap(lines) > 2*gathered {
		l.waiting = nil
	}
	if len(lines) == 0 {
		return nil
	}
	if l.file == nil || l.size+int64(len(lines)) > maxLog {
		if err := l.openLocked(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(lines)
	l.size += int64(n)
	return err
}

func (l *File) openLocked() error {
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

// Close writes what waits, and closes the file.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.flushLocked()
	if l.file == nil {
		return err
	}
	err = errors.Join(err, l.file.Close())
	l.file = nil
	return err
}
