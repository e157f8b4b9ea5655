package manifest

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	missingSpace = regexp.MustCompile(`^\s*(?:- )?([A-Za-z][\w./-]*):([^\s/:][^:]*)$`)
	keyLine      = regexp.MustCompile(`^(\s*(?:- )*)([A-Za-z"'][\w./"'-]*):(\s|$)`)
)

// explainSlip looks at the lines around a syntax error for the slips that cause most of them. The parser notices many
// of them a line too late, so the line before is looked at too, and the position moves to the slip that is found.
func explainSlip(problem *Problem, doc document) {
	lines := strings.Split(string(doc.text), "\n")
	at := problem.Line - doc.line
	line := func(i int) string {
		if i < 0 || i >= len(lines) {
			return ""
		}
		return strings.TrimRight(lines[i], "\r")
	}
	move := func(i, column int, hint string) {
		problem.Line, problem.Column, problem.Hint = doc.line+i, column, hint
	}
	for i := range lines {
		if text := line(i); isConflictMarker(text) {
			problem.Reason = "a merge left its conflict marker here"
			move(i, 1, "resolve the conflict")
			return
		}
	}
	for _, i := range []int{at, at - 1, at + 1} {
		text := line(i)
		indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			move(i, tab+1, "a tab stands here: YAML is indented with spaces")
			return
		}
	}
	for _, i := range []int{at, at - 1} {
		if strings.Contains(line(i), "{{") {
			problem.Reason = "braces open a mapping that can't stand here"
			move(i, strings.Index(line(i), "{{")+1, "this looks like a template: point skiff at the chart's directory (the one with Chart.yaml), or quote the braces")
			return
		}
	}
	for _, i := range []int{at, at - 1} {
		if text := line(i); strings.Count(text, `"`)%2 == 1 || strings.Count(text, "'")%2 == 1 && strings.Contains(text, ": '") {
			problem.Hint = fmt.Sprintf("is a quote missing in line %d?", doc.line+i)
			return
		}
	}
	for _, i := range []int{at, at - 1} {
		if match := missingSpace.FindStringSubmatch(line(i)); match != nil {
			column := strings.Index(line(i), match[1]+":") + len(match[1]) + 2
			move(i, column, fmt.Sprintf("a space is missing after the colon: %s: %s", match[1], match[2]))
			return
		}
	}
	explainIndentation(problem, doc, line, at)
}

// explainIndentation compares the line with the key lines before it.
func explainIndentation(problem *Problem, doc document, line func(int) string, at int) {
	width := func(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }
	for _, i := range []int{at, at + 1} {
		text := line(i)
		match := keyLine.FindStringSubmatch(text)
		if match == nil {
			continue
		}
		for j := i - 1; j >= 0; j-- {
			before := line(j)
			if strings.TrimSpace(before) == "" || strings.HasPrefix(strings.TrimSpace(before), "#") {
				continue
			}
			previous := keyLine.FindStringSubmatch(before)
			if previous == nil {
				break
			}
			valueFollows := strings.TrimSpace(before[len(previous[0]):]) != ""
			inside := len(previous[1])
			if valueFollows && width(text) > inside {
				problem.Line, problem.Column = doc.line+i, width(text)+1
				problem.Hint = fmt.Sprintf("%s is indented deeper than %s in line %d, which already has a value",
					match[2], previous[2], doc.line+j)
				return
			}
			if width(text) < inside && !alignsAbove(line, j, width(text)) {
				problem.Line, problem.Column = doc.line+i, width(text)+1
				problem.Hint = fmt.Sprintf("%s lines up with nothing above it: check its indentation", match[2])
				return
			}
			break
		}
	}
}

// alignsAbove reports whether some line up to last starts a key or a list element in this column.
func alignsAbove(line func(int) string, last, column int) bool {
	for i := last; i >= 0; i-- {
		match := keyLine.FindStringSubmatch(line(i))
		if match == nil {
			continue
		}
		if len(match[1]) == column || strings.Index(line(i), "-") == column {
			return true
		}
	}
	return false
}

func isConflictMarker(line string) bool {
	return strings.HasPrefix(line, "<<<<<<< ") || strings.HasPrefix(line, ">>>>>>> ") || line == "======="
}
