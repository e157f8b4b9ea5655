package up

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// live is the view on a terminal: finished lines go into the scrollback as everywhere else, and what is under way
// stands below them, one line per object, redrawn in place and gone when it is done.
type live struct {
	*lines
	rows  map[plan.Ref]row
	drawn int           // rows on the screen now
	spin  chan struct{} // there is something to wait for
	done  chan struct{}
}

type row struct {
	text  string
	since time.Time
}

// mostRows keeps the view from filling the screen.
const mostRows = 8

func newLive(l *lines) *live {
	v := &live{lines: l, rows: map[plan.Ref]row{}, spin: make(chan struct{}, 1), done: make(chan struct{})}
	l.write = func(_ io.Writer, text string) {
		// Both streams are this terminal; one writer keeps them in order.
		v.erase()
		_, _ = io.WriteString(l.io.Out, text)
	}
	go v.tick()
	return v
}

func (v *live) event(e event.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case e.Image != "" && e.Object == nil:
		v.followBuild(e)
	case e.Object != nil:
		v.follow(e)
	}
	if e.Type != event.Progress && e.Type != event.BuildOutput {
		v.draw(e)
	}
	v.redraw()
	if len(v.rows) > 0 {
		select {
		case v.spin <- struct{}{}:
		default:
		}
	}
}

// followBuild keeps a row for a build, with its last line of output; the lines of a failed one stay on the screen.
func (v *live) followBuild(e event.Event) {
	ref := plan.Ref{Kind: "image", Namespace: v.namespace, Name: e.Image}
	switch e.Type {
	case event.Building:
		v.rows[ref] = row{text: "is being built", since: e.Time}
	case event.BuildOutput:
		if r, known := v.rows[ref]; known {
			r.text = e.Message
			v.rows[ref] = r
		}
	case event.Built:
		delete(v.rows, ref)
	case event.BuildFailed:
		delete(v.rows, ref)
		for _, line := range e.Lines {
			v.write(v.io.ErrOut, "    "+v.err.Faint("│ ")+line+"\n")
		}
	}
}

// follow keeps the rows: an object has one from its first progress until it is ready or gone.
func (v *live) follow(e event.Event) {
	ref := *e.Object
	switch e.Type {
	case event.Progress, event.Waiting:
		r, known := v.rows[ref]
		if !known {
			r.since = e.Time
		}
		r.text = e.Message
		v.rows[ref] = r
	case event.Ready:
		delete(v.rows, ref)
	case event.Object:
		if e.Action == event.Pruned || e.Action == event.Gone {
			delete(v.rows, ref)
		}
	}
}

func (v *live) erase() {
	if v.drawn > 0 {
		fmt.Fprintf(v.io.Out, "\x1b[%dA\r\x1b[J", v.drawn)
		v.drawn = 0
	}
}

func (v *live) redraw() {
	v.erase()
	if len(v.rows) == 0 {
		return
	}
	refs := slices.SortedFunc(maps.Keys(v.rows), func(a, b plan.Ref) int {
		if c := v.rows[a].since.Compare(v.rows[b].since); c != 0 {
			return c
		}
		return strings.Compare(a.String(), b.String())
	})
	width := max(v.io.Width()-1, 20)
	var b strings.Builder
	for i, ref := range refs {
		if i == mostRows-1 && len(refs) > mostRows {
			fmt.Fprintf(&b, "  and %d more\n", len(refs)-i)
			v.drawn++
			break
		}
		r := v.rows[ref]
		text := fmt.Sprintf("%s %s %s", spinner(r.since), v.name(&ref), r.text)
		if age := time.Since(r.since).Round(time.Second); age >= time.Second {
			text += fmt.Sprintf(" (%s)", age)
		}
		if runes := []rune(text); len(runes) > width {
			text = string(runes[:width-1]) + "…"
		}
		b.WriteString(v.out.Cyan(text) + "\n")
		v.drawn++
	}
	_, _ = io.WriteString(v.io.Out, b.String())
}

func spinner(since time.Time) string {
	frames := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	return frames[int(time.Since(since)/(250*time.Millisecond))%len(frames)]
}

// tick turns the spinner while there is something to wait for, and sleeps otherwise.
func (v *live) tick() {
	ticker := time.NewTicker(250 * time.Millisecond)
	ticker.Stop()
	defer ticker.Stop()
	for {
		select {
		case <-v.done:
			return
		case <-v.spin:
			ticker.Reset(250 * time.Millisecond)
		case <-ticker.C:
			v.mu.Lock()
			v.redraw()
			if len(v.rows) == 0 {
				ticker.Stop()
			}
			v.mu.Unlock()
		}
	}
}

func (v *live) close() {
	close(v.done)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
}
