package daemon

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"skiff.local/skiff/local/client"
)

// announcer tells the process that started the daemon how far it is, as JSON lines on a pipe, until the daemon is
// ready or has failed; then it closes the pipe. A reader that went away is no reason to stop.
type announcer struct {
	mu      sync.Mutex
	out     io.WriteCloser // guarded by mu; nil after the last event
	started time.Time
}

func newAnnouncer(out io.WriteCloser, started time.Time) *announcer {
	return &announcer{out: out, started: started}
}

// phase says that a step has ended.
func (a *announcer) phase(p client.Phase, message string) {
	a.write(client.Event{Phase: p, Message: message, Elapsed: time.Since(a.started)}, p == client.PhaseReady)
}

// fail says why the daemon ends.
func (a *announcer) fail(f *client.Failure) {
	a.write(client.Event{Failure: f, Elapsed: time.Since(a.started)}, true)
}

func (a *announcer) write(e client.Event, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.out == nil {
		return
	}
	if raw, err := json.Marshal(e); err == nil {
		_, _ = a.out.Write(append(raw, '\n'))
	}
	if last {
		_ = a.out.Close()
		a.out = nil
	}
}
