package start

import (
	"fmt"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/local/client"
)

// progress prints a line per phase as it ends, and on a terminal what is awaited meanwhile.
type progress struct {
	io      *iostreams.IOStreams
	quiet   bool
	waiting bool
}

func newProgress(io *iostreams.IOStreams, quiet bool) *progress {
	return &progress{io: io, quiet: quiet}
}

// awaited names what comes after a phase.
func awaited(p client.Phase) string {
	switch p {
	case client.PhaseEngine:
		return "opening the store"
	case client.PhaseStore:
		return "starting the API"
	case client.PhaseAPI:
		return "starting the network"
	case client.PhaseNetwork:
		return "waiting for the cluster's DNS"
	}
	return ""
}

func (p *progress) event(e client.Event) {
	if p.quiet || e.Phase == client.PhaseReady {
		p.clear()
		return
	}
	c := p.io.ErrColours()
	p.clear()
	message := e.Message
	if message == "" {
		message = "ready"
	}
	fmt.Fprintf(p.io.ErrOut, "%s %-8s %s %s\n", c.Green("✓"), e.Phase, message, c.Faint(env.Duration(e.Elapsed)))
	if next := awaited(e.Phase); next != "" && p.io.CanRedraw() {
		fmt.Fprint(p.io.ErrOut, c.Faint("· "+next+"…"))
		p.waiting = true
	}
}

// abandon leaves the screen ready for an error message.
func (p *progress) abandon() { p.clear() }

func (p *progress) clear() {
	if p.waiting {
		fmt.Fprint(p.io.ErrOut, "\r\x1b[K")
		p.waiting = false
	}
}
