package up

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// lines writes one line per event that matters: what was done and what became of it to standard output, trouble to
// standard error.
type lines struct {
	io        *iostreams.IOStreams
	out, err  iostreams.Colours
	namespace string
	target    string
	ours      bool // node ports answer on localhost

	mu      sync.Mutex
	sources string
	// write puts finished lines where they belong; the live view replaces it.
	write func(w io.Writer, text string)
}

func newLines(streams *iostreams.IOStreams, target Target) *lines {
	return &lines{io: streams, out: streams.Colours(), err: streams.ErrColours(), namespace: target.Namespace, target: target.Name, ours: target.Ours,
		write: func(w io.Writer, text string) { _, _ = io.WriteString(w, text) }}
}

func (l *lines) close() {}

func (l *lines) event(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(e)
}

func (l *lines) draw(e event.Event) {
	switch e.Type {
	case event.Started:
		l.sources = strings.Join(e.Sources, " ")
	case event.Object:
		l.object(e)
	case event.Problem:
		l.trouble(l.err.Red("✗"), l.err.Bold(e.Position()), e.Message, e.Hint)
	case event.Solved:
		text := e.Message
		if text == "" {
			text = "is fine again"
		}
		l.say(l.out.Green("✓"), e.File, text)
	case event.Ready:
		l.ready(e)
	case event.Progress:
		// Where lines stay, only the outcome counts, and what keeps it waiting.
	case event.Waiting:
		l.trouble(l.err.Yellow("…"), l.name(e.Object), e.Message, e.Hint)
	case event.Crash:
		l.crash(e)
	case event.Building:
		l.say(l.out.Cyan("⚒"), e.Image, "is being built"+l.out.Faint(": "+e.Cause))
	case event.BuildOutput:
		l.say(" ", "", l.out.Faint("│ "+e.Message))
	case event.Built:
		l.say(l.out.Green("⚒"), e.Image, "built in "+event.Duration(e.Took))
	case event.Synced:
		l.say(l.out.Green("⇄"), l.name(e.Object), fmt.Sprintf("%s [%s] %s in %s", e.Pod, e.Container, e.Message, event.Duration(e.Took)))
	case event.SyncFailed:
		l.trouble(l.err.Red("✗"), l.name(e.Object), fmt.Sprintf("%s [%s] %s", e.Pod, e.Container, e.Message), e.Hint)
	case event.BuildFailed:
		l.trouble(l.err.Red("✗"), e.Image, e.Message, e.Hint)
	case event.Note:
		l.trouble(l.err.Cyan("·"), e.File, e.Message, e.Hint)
	case event.Applied:
		l.applied(e)
	case event.Watching:
		l.watching(e)
	case event.Stopped:
		l.say(" ", "", l.out.Faint("no longer watching; "+e.Message))
	}
}

func (l *lines) ready(e event.Event) {
	if e.Object.Kind == "Service" {
		message := e.Message
		if l.ours {
			message = strings.ReplaceAll(message, "node port ", "http://localhost:")
		}
		l.say(l.out.Green("●"), l.name(e.Object), l.out.Cyan(message))
		return
	}
	text := "ready in " + event.Duration(e.Took)
	if e.Message != "" {
		text += l.out.Faint(" (" + e.Message + ")")
	}
	l.say(l.out.Green("●"), l.name(e.Object), text)
}

func (l *lines) object(e event.Event) {
	dry := ""
	if e.DryRun {
		dry = " (dry run)"
	}
	switch e.Action {
	case event.Created:
		l.say(l.out.Green("+"), l.name(e.Object), "created"+dry)
	case event.Configured:
		l.say(l.out.Yellow("~"), l.name(e.Object), "configured"+dry+l.fields(e.Fields))
	case event.Replaced:
		l.say(l.out.Yellow("±"), l.name(e.Object), "deleted and created anew"+dry)
	case event.Restarted:
		l.say(l.out.Yellow("↻"), l.name(e.Object), "gets new pods: "+e.Cause)
	case event.Pruned:
		l.say(l.out.Red("-"), l.name(e.Object), "pruned"+dry+l.out.Faint(": "+e.Cause))
	case event.Kept:
		l.say(l.out.Faint("="), l.name(e.Object), "left the sources and stays"+l.out.Faint(": "+e.Cause))
	case event.Gone:
		l.trouble(l.err.Yellow("!"), l.name(e.Object), e.Message, e.Hint)
	case event.Failed:
		text := e.Message
		if position := e.Position(); position != "" {
			text = l.err.Bold(position) + ": " + text
		}
		hint := e.Hint
		if e.Retry && hint == "" {
			hint = "it is tried again"
		}
		l.trouble(l.err.Red("✗"), l.name(e.Object), text, hint)
	case event.Unchanged:
	}
	for _, note := range e.Notes {
		l.trouble(l.err.Yellow("!"), l.name(e.Object), note, "")
	}
}

// fields lists what changed, and no more than fits a line or two.
func (l *lines) fields(fields []string) string {
	const most = 4
	if len(fields) == 0 {
		return ""
	}
	shown := fields[:min(len(fields), most)]
	text := " " + strings.Join(shown, ", ")
	if more := len(fields) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return l.out.Faint(text)
}

func (l *lines) applied(e event.Event) {
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	s := e.Summary
	add(s.Created, "created")
	add(s.Configured, "configured")
	add(s.Replaced, "replaced")
	add(s.Pruned, "pruned")
	add(s.Failed, "failed")
	add(s.Unchanged, "unchanged")
	if s.Problems > 0 {
		parts = append(parts, count(s.Problems, "file")+" can't be read")
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing to do")
	}
	text := fmt.Sprintf("%s in %s", strings.Join(parts, ", "), event.Duration(e.Took))
	if e.DryRun {
		text += "; a dry run: nothing was changed"
	}
	l.say(" ", "", l.out.Faint(text))
}

func (l *lines) watching(e event.Event) {
	text := fmt.Sprintf("watching %s: %s in %s", l.sources, count(e.Summary.Objects, "object"), l.target)
	if l.namespace != "default" {
		text += "/" + l.namespace
	}
	l.say(" ", "", l.out.Bold(text)+l.out.Faint(" (Ctrl-C ends the watch and leaves everything running)"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (l *lines) crash(e event.Event) {
	who := e.Pod
	if e.Container != "" {
		who += " [" + e.Container + "]"
	}
	l.trouble(l.err.Red("✗"), l.name(e.Object), fmt.Sprintf("%s %s", who, e.Message), e.Hint)
	for _, line := range e.Lines {
		l.write(l.io.ErrOut, "    "+l.err.Faint("│ ")+line+"\n")
	}
}

func (l *lines) say(mark, name, text string) {
	if name != "" {
		name = l.out.Bold(name) + " "
	}
	l.write(l.io.Out, fmt.Sprintf("%s %s%s\n", mark, name, text))
}

func (l *lines) trouble(mark, name, text, hint string) {
	if name != "" {
		name = l.err.Bold(name) + ": "
	}
	l.write(l.io.ErrOut, fmt.Sprintf("%s %s%s\n", mark, name, text))
	if hint != "" {
		l.write(l.io.ErrOut, "    "+l.err.Cyan("→ ")+hint+"\n")
	}
}

// name leaves out the namespace that everything is in.
func (l *lines) name(ref *plan.Ref) string {
	if ref == nil {
		return ""
	}
	if ref.Namespace == l.namespace {
		return ref.Kind + " " + ref.Name
	}
	return ref.String()
}

func (l *lines) differences(differences []watch.Difference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range differences {
		l.write(l.io.Out, renderDifference(l.out, l.name(&d.Ref), d))
	}
}
