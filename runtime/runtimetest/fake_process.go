package runtimetest

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/runtimetest/prog"
)

// Program is what a process in the fake does. Proc.Args is its whole command line, the executable included. It must end
// when ctx does: that is SIGKILL.
type Program func(ctx context.Context, p prog.Proc) int

func runProg(ctx context.Context, p prog.Proc) int {
	p.Args = p.Args[1:]
	return prog.Run(ctx, p)
}

// runHelper is pause; the helper's other verbs end at once.
func runHelper(ctx context.Context, p prog.Proc) int {
	if len(p.Args) < 2 || p.Args[1] != "pause" {
		return 0
	}
	select {
	case <-ctx.Done():
	case <-p.Signals:
	}
	return 0
}

// AddProgram teaches the fake an executable, for all images.
func (f *Fake) AddProgram(executable string, p Program) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.programs[executable] = p
}

// fakeProcess is a running program.
type fakeProcess struct {
	signals chan string
	kill    context.CancelFunc
	done    chan struct{}
	forced  *int // an exit code that a test chose; guarded by the fake's lock
	code    int  // valid after done
}

// launch runs a program on a goroutine. ended is called with its exit code before done is closed.
func launch(program Program, p prog.Proc, ended func(proc *fakeProcess, code int)) *fakeProcess {
	ctx, cancel := context.WithCancel(context.Background())
	proc := &fakeProcess{signals: make(chan string, 8), kill: cancel, done: make(chan struct{})}
	p.Signals = proc.signals
	go func() {
		defer cancel()
		code := program(ctx, p)
		if ctx.Err() != nil {
			code = 137
		}
		proc.code = code
		ended(proc, code)
		close(proc.done)
	}()
	return proc
}

// signal delivers a signal; SIGKILL ends the program whatever it does.
func (p *fakeProcess) signal(name string) {
	switch name {
	case "KILL", "9":
		p.kill()
	default:
		if n := map[string]string{"15": "TERM", "2": "INT", "1": "HUP", "10": "USR1"}[name]; n != "" {
			name = n
		}
		select {
		case p.signals <- name:
		default: // a real process coalesces signals that it does not take
		}
	}
}

// output receives what a container's process writes: lines for the log, bytes for whoever is attached.
type output struct {
	mu       sync.Mutex
	lines    []logLine
	partial  map[bool][]byte // by "is standard error"
	changed  chan struct{}
	closed   bool
	attached map[*attachment]bool
}

type logLine struct {
	at     time.Time
	stderr bool
	text   []byte // with its newline, unless it was the last
}

type attachment struct{ streams docker.Streams }

func newOutput() *output {
	return &output{partial: map[bool][]byte{}, changed: make(chan struct{}), attached: map[*attachment]bool{}}
}

func (o *output) writer(stderr bool) io.Writer { return outputWriter{o, stderr} }

type outputWriter struct {
	o      *output
	stderr bool
}

func (w outputWriter) Write(p []byte) (int, error) {
	o := w.o
	o.mu.Lock()
	defer o.mu.Unlock()
	buf := append(o.partial[w.stderr], p...)
	for {
		i := bytes.IndexByte(buf, '\n')
		if i < 0 {
			break
		}
		o.lines = append(o.lines, logLine{time.Now(), w.stderr, bytes.Clone(buf[:i+1])})
		buf = buf[i+1:]
	}
	o.partial[w.stderr] = bytes.Clone(buf)
	for a := range o.attached {
		dst := a.streams.Stdout
		if w.stderr {
			dst = a.streams.Stderr
		}
		if dst != nil {
			_, _ = dst.Write(p)
		}
	}
	o.wakeLocked()
	return len(p), nil
}

// wakeLocked tells followers that there is more, or that it is over.
func (o *output) wakeLocked() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// finish ends the output of one run of the process.
func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for stderr, rest := range o.partial {
		if len(rest) > 0 {
			o.lines = append(o.lines, logLine{time.Now(), stderr, rest})
		}
	}
	o.partial = map[bool][]byte{}
	o.closed = true
	o.wakeLocked()
}

// restart opens it for another run; what was logged stays.
func (o *output) restart() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = false
}

// notFound is an executable that does not exist: the engine says so on the output.
func notFound(text string) Program {
	return func(_ context.Context, p prog.Proc) int {
		_, _ = io.WriteString(p.Stdout, text)
		return 127
	}
}
