package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// screen is a skiff on a terminal whose output is read as a person sees it, scrollback included: what was drawn and taken
// back is gone.
type screen struct {
	*terminal
	from int // where in the output it begins
}

// openScreen runs skiff in dir.
func openScreen(t *testing.T, dir string, args ...string) *screen {
	t.Helper()
	s := &screen{terminal: openTerminal(t, "sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir, shared.bin}, args...)...)}
	s.resize(50, 160)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the screen of skiff %s:\n%s", strings.Join(args, " "), s.text())
		}
	})
	return s
}

func (s *screen) text() string { return strings.Join(interpret(s.written()[s.from:]), "\n") }

var sequence = regexp.MustCompile("^\x1b\\[([0-9]*)([A-Za-z])")

// interpret knows the few sequences that are used: up, which is only done to erase from there, and colour.
func interpret(written string) []string {
	lines := []string{""}
	for written != "" {
		switch last := len(lines) - 1; written[0] {
		case '\x1b':
			if found := sequence.FindStringSubmatch(written); found != nil {
				if found[2] == "A" {
					var n int
					_, _ = fmt.Sscan(found[1], &n)
					lines = lines[:max(1, len(lines)-n)]
					lines[len(lines)-1] = ""
				}
				written = written[len(found[0]):]
				continue
			}
		case '\n':
			lines = append(lines, "")
		case '\r':
		default:
			lines[last] += written[:1]
		}
		written = written[1:]
	}
	return lines
}

// shows waits until some line contains all the words.
func (s *screen) shows(words ...string) {
	s.t.Helper()
	eventually(s.t, slow, func() string {
		for _, line := range interpret(s.written()[s.from:]) {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
				return ""
			}
		}
		return fmt.Sprintf("no line has %q", words)
	})
}

// forget drops what was shown, so that shows waits for something new.
func (s *screen) forget() { s.from = len(s.written()) }

func (s *screen) ctrlC() {
	s.t.Helper()
	s.enter("\x03")
	s.exits(0)
}

// unsteady are the parts of lines that differ from run to run.
var unsteady = regexp.MustCompile(`[0-9.]+ (ms|s)\b|[0-9]+m[0-9]+s`)

// transcript is what is left on the screen and in the scrollback, with times as T.
func (s *screen) transcript() string {
	return unsteady.ReplaceAllString(strings.TrimSpace(s.text()), "T")
}
