package event

import (
	"fmt"
	"strings"
	"time"
)

// Position is file:line:column, as far as known.
func (e Event) Position() string {
	switch {
	case e.File == "":
		return ""
	case e.Line == 0:
		return e.File
	case e.Column == 0:
		return fmt.Sprintf("%s:%d", e.File, e.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
}

// String is the event in one line without colour or hint, for logs and lists.
func (e Event) String() string {
	var parts []string
	if e.Object != nil {
		parts = append(parts, e.Object.String())
	}
	if e.Action != "" {
		parts = append(parts, string(e.Action))
	} else if e.Type != Problem && e.Type != Note {
		parts = append(parts, string(e.Type))
	}
	if e.Image != "" {
		parts = append(parts, e.Image)
	}
	text := strings.Join(parts, " ")
	add := func(more string) {
		if more == "" {
			return
		}
		if text != "" {
			text += ": "
		}
		text += more
	}
	if len(e.Fields) > 0 {
		add(strings.Join(e.Fields, ", "))
	}
	if e.Type == Problem || e.Action == Failed {
		add(e.Position())
	}
	add(e.Message)
	if e.Took > 0 && (e.Type == Ready || e.Type == Applied || e.Type == Built) {
		text += " in " + Duration(e.Took)
	}
	return text
}

// Duration writes d as people say it: 740 ms, 1.3 s, 2m10s.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
