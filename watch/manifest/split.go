package manifest

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// document is one document of a YAML stream. Its text starts at the beginning of the given line of the file.
type document struct {
	line int // 1-based
	text []byte
}

// split cuts a YAML stream at its document markers. What follows a marker on its line stays, in its column, so that
// a comment there stays a comment. Documents without any content but comments are dropped.
func split(data []byte) []document {
	var docs []document
	current := document{line: 1}
	hasContent := false
	flush := func(next int) {
		if hasContent {
			docs = append(docs, current)
		}
		current, hasContent = document{line: next}, false
	}
	line := 0
	for rest := data; len(rest) > 0; {
		line++
		text := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			text, rest = rest[:end+1], rest[end+1:]
		} else {
			rest = nil
		}
		switch {
		case isMarker(text, "---"):
			flush(line)
			text = append([]byte("   "), text[3:]...)
		case isMarker(text, "..."):
			flush(line + 1)
			continue
		case !hasContent && bytes.HasPrefix(text, []byte("%")):
			// A directive; kubectl's parser knows one version only and nothing in a manifest depends on it.
			text = []byte("\n")
		}
		if !hasContent && !isBlank(text) {
			hasContent = true
		}
		current.text = append(current.text, text...)
	}
	flush(line + 1)
	return docs
}

func isMarker(line []byte, marker string) bool {
	if !bytes.HasPrefix(line, []byte(marker)) {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r' || line[3] == '\n'
}

func isBlank(line []byte) bool {
	trimmed := bytes.TrimSpace(line)
	return len(trimmed) == 0 || trimmed[0] == '#'
}

// decodeText brings a file to UTF-8 without a byte order mark. Windows' editors write UTF-16.
func decodeText(name string, data []byte) ([]byte, *Problem) {
	switch {
	case bytes.HasPrefix(data, []byte{0xEF, 0xBB, 0xBF}):
		data = data[3:]
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}):
		data = decodeUTF16(data[2:], func(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 })
	case bytes.HasPrefix(data, []byte{0xFE, 0xFF}):
		data = decodeUTF16(data[2:], func(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 })
	}
	for offset := 0; offset < len(data); {
		r, size := utf8.DecodeRune(data[offset:])
		if r == utf8.RuneError && size == 1 || r == 0 {
			line, column := lineColumn(data, offset)
			return nil, &Problem{
				File: name, Line: line, Column: column,
				Reason: "this is not text: the bytes here are not valid UTF-8",
				Hint:   "save the file as UTF-8, or list it in .skiffignore",
			}
		}
		offset += size
	}
	return data, nil
}

func decodeUTF16(data []byte, unit func([]byte) uint16) []byte {
	units := make([]uint16, 0, len(data)/2)
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, unit(data))
	}
	return []byte(string(utf16.Decode(units)))
}

// lineColumn converts a byte offset into a 1-based line and a 1-based column counted in characters.
func lineColumn(data []byte, offset int) (line, column int) {
	offset = min(max(offset, 0), len(data))
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}
