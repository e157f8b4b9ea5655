package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	yaml4 "go.yaml.in/yaml/v4"
)

// Problem is what is wrong with a file, where, and what to try. It is an error.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`   // 1-based, 0 when it concerns the whole file
	Column int    `json:"column,omitempty"` // 1-based, 0 when only the line is known
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
	// Syntax says that the text is no YAML or JSON at all, not merely no manifest.
	Syntax bool `json:"-"`
}

// Position is file:line:column as editors and terminals understand it, as far as it is known.
func (p Problem) Position() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

func (p Problem) Error() string {
	text := p.Position() + ": " + p.Reason
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

// yamlProblem locates the failure of a document. The parser whose reading counts reports at best a line inside its
// text, so a parser that knows columns is asked to fail on the same document.
func yamlProblem(name string, doc document, err error) Problem {
	problem := Problem{File: name, Line: doc.line, Column: 1, Reason: cleanReason(err), Syntax: true}
	if line, ok := lineInText(err); ok {
		problem.Line, problem.Column = doc.line+line-1, 0
	}
	var node yaml4.Node
	if precise := yaml4.Load(doc.text, &node, yaml4.WithSingleDocument()); precise != nil {
		setPosition(&problem, doc, precise)
	} else {
		var value any
		if precise := yaml4.Load(doc.text, &value, yaml4.WithSingleDocument(), yaml4.WithUniqueKeys(true)); precise != nil {
			setPosition(&problem, doc, precise)
		}
	}
	last := doc.line + strings.Count(string(doc.text), "\n")
	problem.Line = min(max(problem.Line, doc.line), max(last, doc.line))
	explainSlip(&problem, doc)
	return problem
}

func setPosition(problem *Problem, doc document, err error) {
	var load *yaml4.LoadError
	if !errors.As(err, &load) {
		var many *yaml4.LoadErrors
		if !errors.As(err, &many) || len(many.Errors) == 0 {
			return
		}
		load = many.Errors[0]
	}
	if load.Mark.Line <= 0 {
		return
	}
	problem.Line, problem.Column = doc.line+load.Mark.Line-1, max(load.Mark.Column, 1)
	problem.Reason = strings.TrimPrefix(load.Message, "yaml: ")
	if load.ContextMsg != "" && load.ContextMark.Line > 0 && load.ContextMark.Line != load.Mark.Line {
		problem.Reason += fmt.Sprintf(" (%s at line %d)", load.ContextMsg, doc.line+load.ContextMark.Line-1)
	}
}

// textLine finds the line in yaml.v2's messages, which carry it only as text.
var textLine = regexp.MustCompile(`line (\d+): `)

func lineInText(err error) (int, bool) {
	match := textLine.FindStringSubmatch(err.Error())
	if match == nil {
		return 0, false
	}
	line, convErr := strconv.Atoi(match[1])
	return line, convErr == nil && line > 0
}

func cleanReason(err error) string {
	reason := err.Error()
	if match := textLine.FindStringIndex(reason); match != nil {
		reason = reason[match[1]:]
	}
	reason = strings.TrimPrefix(reason, "yaml: ")
	first, _, _ := strings.Cut(strings.TrimSpace(reason), "\n")
	return first
}

func jsonProblem(name string, data []byte, decoder *json.Decoder, err error) Problem {
	offset := int(decoder.InputOffset())
	var syntax *json.SyntaxError
	reason := err.Error()
	if errors.As(err, &syntax) {
		offset = int(syntax.Offset) - 1
	} else {
		offset, reason = len(data), "the JSON ends in the middle of a value"
	}
	line, column := lineColumn(data, offset)
	problem := Problem{File: name, Line: line, Column: column, Reason: reason, Syntax: true}
	if offset < len(data) && offset >= 0 && (data[offset] == '}' || data[offset] == ']') {
		problem.Hint = "JSON allows no comma after the last element"
	}
	return problem
}

func isJSON(data []byte) bool {
	trimmed := strings.TrimLeft(string(data[:min(len(data), 512)]), " \t\r\n")
	return strings.HasPrefix(trimmed, "{")
}

func looksLikeJSONFile(name string) bool { return strings.EqualFold(filepath.Ext(name), ".json") }
