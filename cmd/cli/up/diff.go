package up

import (
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/watch"
)

// renderDifference draws one object's change as a unified diff.
func renderDifference(c iostreams.Colours, name string, d watch.Difference) string {
	switch {
	case d.Before == "":
		return c.Green("+") + " " + c.Bold(name) + " would be created\n"
	case d.After == "":
		return c.Red("-") + " " + c.Bold(name) + " would be pruned\n"
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: difflib.SplitLines(strings.TrimSuffix(d.Before, "\n")), B: difflib.SplitLines(strings.TrimSuffix(d.After, "\n")), Context: 3})
	if err != nil {
		text = d.After
	}
	var b strings.Builder
	b.WriteString(c.Yellow("~") + " " + c.Bold(name) + " would change\n")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "), line == "":
			continue
		case strings.HasPrefix(line, "@@"):
			line = c.Faint(line)
		case strings.HasPrefix(line, "+"):
			line = c.Green(line)
		case strings.HasPrefix(line, "-"):
			line = c.Red(line)
		}
		b.WriteString("    " + line + "\n")
	}
	return b.String()
}
