package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"

	"k8s.io/klog/v2"
)

// logger writes skiff's and Kubernetes' messages to the daemon's log.
func logger(to io.Writer, verbosity int) *slog.Logger {
	level := slog.LevelInfo
	if verbosity > 0 {
		level = slog.LevelDebug
	}
	l := slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level}))
	var v klog.Level
	_ = v.Set(strconv.Itoa(verbosity))
	klog.SetSlogLogger(l)
	return l
}

// logLimit is the size at which the log is copied aside and begun anew. Chosen: two of them hold the last days.
const logLimit = 10 << 20

// logFile keeps the log from growing without end. It truncates the file in place, because standard error is a file that
// whoever started the daemon opened, and what a panic writes goes there past this type.
type logFile struct {
	mu    sync.Mutex
	file  *os.File // opened for appending
	path  string   // its name; empty when the file is not a log that may be cut
	limit int64
	size  int64
}

// newLogFile returns a log that is cut when file is the one at path; a terminal or a pipe is written to as it is.
func newLogFile(file *os.File, path string) *logFile {
	l := &logFile{file: file, limit: logLimit}
	own, err := file.Stat()
	named, namedErr := os.Stat(path)
	if err == nil && namedErr == nil && os.SameFile(own, named) {
		l.path, l.size = path, own.Size()
	}
	return l
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" && l.size+int64(len(p)) > l.limit {
		l.cutLocked()
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// cutLocked moves what is there to path.1. A log that can't be cut is no reason to stop logging: it grows.
func (l *logFile) cutLocked() {
	l.size = 0 // so that a failure is not tried again with every line
	from, err := os.Open(l.path)
	if err != nil {
		return
	}
	defer from.Close()
	to, err := os.OpenFile(l.path+".1", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err == nil {
		_ = l.file.Truncate(0)
	}
}
