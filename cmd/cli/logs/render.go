package logs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"skiff.local/skiff/cmd/cli/iostreams"
)

// renderer writes lines, each after the name of its container when there are several.
type renderer struct {
	options *options
	colours iostreams.Colours
	named   bool
	pretty  bool
	// names and colours are given in the order of appearance.
	index map[string]int
	width int
}

func (o *options) newRenderer(several bool) *renderer {
	return &renderer{
		options: o, colours: o.io.Colours(), named: several || o.prefix,
		pretty: o.io.IsOutTTY() && !o.raw, index: map[string]int{},
	}
}

// maxName is how wide the column of names becomes at most. Chosen.
const maxName = 40

func (r *renderer) line(s source, line string) {
	stamp := ""
	if r.options.timestamps || !r.options.follow {
		// Lines of the past were asked for with their time, to merge them.
		if at, rest, ok := strings.Cut(line, " "); ok && looksLikeTime(at) {
			stamp, line = at+" ", rest
		} else if looksLikeTime(line) {
			stamp, line = line+" ", ""
		}
		if !r.options.timestamps {
			stamp = ""
		}
	}
	if r.options.show != nil && !r.options.show.MatchString(line) || r.options.hide != nil && r.options.hide.MatchString(line) {
		return
	}
	if r.pretty {
		line = pretty(line, r.colours)
	}
	if r.colours.On() && r.options.show != nil {
		line = r.options.show.ReplaceAllStringFunc(line, r.colours.Bold)
	}
	fmt.Fprintln(r.options.io.Out, r.name(s)+r.colours.Faint(stamp)+line)
}

func (r *renderer) name(s source) string {
	if !r.named {
		return ""
	}
	name := s.pod + " " + s.container
	if r.options.allNamespaces {
		name = s.namespace + "/" + name
	}
	i, known := r.index[name]
	if !known {
		i = len(r.index)
		r.index[name] = i
		r.width = min(max(r.width, len(name)), maxName)
	}
	return r.colours.ByIndex(i, fmt.Sprintf("%-*s |", r.width, name)) + " "
}

func looksLikeTime(s string) bool {
	return len(s) >= len("2006-01-02T15:04:05Z") && s[4] == '-' && s[7] == '-' && s[10] == 'T' && s[13] == ':'
}

// pretty shows a JSON object as level, message and the remaining fields; anything else stays as it is.
func pretty(line string, c iostreams.Colours) string {
	trimmed := strings.TrimSpace(line)
	if !strings.HasPrefix(trimmed, "{") || !strings.HasSuffix(trimmed, "}") {
		return line
	}
	var fields map[string]any
	decoder := json.NewDecoder(strings.NewReader(trimmed))
	decoder.UseNumber()
	if decoder.Decode(&fields) != nil || decoder.More() {
		return line
	}
	take := func(names ...string) string {
		for _, n := range names {
			if v, ok := fields[n]; ok {
				delete(fields, n)
				return text(v)
			}
		}
		return ""
	}
	level := take("level", "lvl", "severity", "log.level")
	message := take("msg", "message", "event")
	at := take("time", "ts", "timestamp", "@timestamp")
	if level == "" && message == "" {
		return line
	}
	var parts []string
	if at != "" {
		parts = append(parts, c.Faint(at))
	}
	if level != "" {
		parts = append(parts, paintLevel(level, c))
	}
	if message != "" {
		parts = append(parts, message)
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, c.Faint(key+"=")+text(fields[key]))
	}
	return strings.Join(parts, " ")
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

func paintLevel(level string, c iostreams.Colours) string {
	shown := strings.ToUpper(level)
	switch {
	case strings.HasPrefix(shown, "ERR"), strings.HasPrefix(shown, "FATAL"), strings.HasPrefix(shown, "PANIC"), strings.HasPrefix(shown, "CRIT"):
		return c.Red(shown)
	case strings.HasPrefix(shown, "WARN"):
		return c.Yellow(shown)
	case strings.HasPrefix(shown, "DEBUG"), strings.HasPrefix(shown, "TRACE"):
		return c.Faint(shown)
	}
	return c.Green(shown)
}
