// Package ignore decides which paths of a tree are left out, by the rules of gitignore(5). .skiffignore files have the
// same form and speak after the .gitignore of the same directory.
package ignore

import (
	"bytes"
	"path"
	"regexp"
	"strings"
)

// Rules are the patterns of one ignore file. The zero value matches nothing.
type Rules struct {
	patterns []pattern
}

type pattern struct {
	expr     *regexp.Regexp
	negated  bool
	dirsOnly bool
	baseOnly bool // matches the last element alone, at any depth
}

// Parse reads an ignore file. Lines that are no valid pattern match nothing, as with git.
func Parse(data []byte) Rules {
	var rules Rules
	for _, line := range bytes.Split(data, []byte("\n")) {
		if p, ok := parseLine(strings.TrimSuffix(string(line), "\r")); ok {
			rules.patterns = append(rules.patterns, p)
		}
	}
	return rules
}

// Append returns rules in which those of the other file speak last.
func (r Rules) Append(other Rules) Rules {
	return Rules{patterns: append(r.patterns[:len(r.patterns):len(r.patterns)], other.patterns...)}
}

// Empty reports whether the rules can't match anything.
func (r Rules) Empty() bool { return len(r.patterns) == 0 }

// Match judges a slash-separated path relative to the ignore file's directory. Decided is false when no pattern
// speaks about it, which leaves the word to the ignore file of the parent directory.
func (r Rules) Match(rel string, isDir bool) (ignored, decided bool) {
	base := path.Base(rel)
	for i := len(r.patterns) - 1; i >= 0; i-- {
		p := r.patterns[i]
		if p.dirsOnly && !isDir {
			continue
		}
		subject := rel
		if p.baseOnly {
			subject = base
		}
		if p.expr.MatchString(subject) {
			return !p.negated, true
		}
	}
	return false, false
}

func parseLine(line string) (pattern, bool) {
	if strings.HasPrefix(line, "#") {
		return pattern{}, false
	}
	line = trimTrailingSpaces(line)
	var p pattern
	if strings.HasPrefix(line, "!") {
		p.negated, line = true, line[1:]
	}
	if strings.HasSuffix(line, "/") {
		p.dirsOnly = true
		line = strings.TrimSuffix(line, "/")
	}
	if line == "" {
		return pattern{}, false
	}
	p.baseOnly = !strings.Contains(line, "/")
	expr, ok := translate(strings.TrimPrefix(line, "/"))
	if !ok {
		return pattern{}, false
	}
	compiled, err := regexp.Compile(expr)
	if err != nil {
		return pattern{}, false
	}
	p.expr = compiled
	return p, true
}

// trimTrailingSpaces drops spaces at the end unless a backslash quotes them.
func trimTrailingSpaces(line string) string {
	for strings.HasSuffix(line, " ") {
		slashes := 0
		for i := len(line) - 2; i >= 0 && line[i] == '\\'; i-- {
			slashes++
		}
		if slashes%2 == 1 {
			return line
		}
		line = line[:len(line)-1]
	}
	return line
}

// translate turns a glob into an anchored regular expression in which a star never crosses a slash.
func translate(glob string) (string, bool) {
	var expr strings.Builder
	expr.WriteString("^")
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			atStart := i == 0 || glob[i-1] == '/'
			end := i
			for end < len(glob) && glob[end] == '*' {
				end++
			}
			stars, atEnd := end-i, end == len(glob)
			switch {
			case stars == 2 && atStart && atEnd:
				expr.WriteString(".+")
			case stars == 2 && atStart && glob[end] == '/':
				expr.WriteString("(?:.*/)?")
				end++
			default:
				expr.WriteString("[^/]*")
			}
			i = end - 1
		case '?':
			expr.WriteString("[^/]")
		case '[':
			class, length, ok := translateClass(glob[i:])
			if !ok {
				return "", false
			}
			expr.WriteString(class)
			i += length - 1
		case '\\':
			if i++; i == len(glob) {
				return "", false
			}
			expr.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		default:
			expr.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	expr.WriteString("$")
	return expr.String(), true
}

// translateClass translates a bracket expression and returns its length in the glob.
func translateClass(glob string) (expr string, length int, ok bool) {
	i := 1
	negated := i < len(glob) && (glob[i] == '!' || glob[i] == '^')
	if negated {
		i++
	}
	var inside strings.Builder
	for first := true; i < len(glob); first = false {
		c := glob[i]
		if c == ']' && !first {
			if negated {
				return "[^/" + inside.String() + "]", i + 1, true
			}
			return "[" + inside.String() + "]", i + 1, true
		}
		if c == '[' && i+1 < len(glob) && glob[i+1] == ':' {
			if end := strings.Index(glob[i:], ":]"); end > 0 {
				inside.WriteString(glob[i : i+end+2])
				i += end + 2
				continue
			}
		}
		if c == '\\' {
			if i++; i == len(glob) {
				return "", 0, false
			}
			c = glob[i]
		}
		if c == '-' && !first && i+1 < len(glob) && glob[i+1] != ']' {
			inside.WriteByte('-')
		} else if strings.IndexByte(`\[]^-&~`, c) >= 0 {
			inside.WriteString(`\` + string(c))
		} else {
			inside.WriteByte(c)
		}
		i++
	}
	return "", 0, false
}

// Stack holds the rules from the outermost directory to the innermost while a tree is walked.
type Stack struct {
	layers []layer
}

type layer struct {
	dir   string // slash-separated, "" for the top
	above string // where the top lies inside the directory, for directories above it
	rules Rules
}

// Push returns a stack in which the rules of a directory, given relative to the top, come first.
func (s Stack) Push(dir string, rules Rules) Stack {
	if rules.Empty() {
		return s
	}
	return Stack{layers: append(s.layers[:len(s.layers):len(s.layers)], layer{dir: dir, rules: rules})}
}

// Ignored judges a path relative to the top. The caller doesn't descend into ignored directories, which is what makes
// it impossible to take back a file of an ignored directory, as with git.
func (s Stack) Ignored(rel string, isDir bool) bool {
	for i := len(s.layers) - 1; i >= 0; i-- {
		l := s.layers[i]
		inside := rel
		switch {
		case l.above != "":
			inside = path.Join(l.above, rel)
		case l.dir != "":
			inside = strings.TrimPrefix(rel, l.dir+"/")
		}
		if ignored, decided := l.rules.Match(inside, isDir); decided {
			return ignored
		}
	}
	return false
}

// PushOuter adds the rules of a directory above the top; the top is at rel inside that directory.
func (s Stack) PushOuter(rel string, rules Rules) Stack {
	if rules.Empty() {
		return s
	}
	return Stack{layers: append(s.layers[:len(s.layers):len(s.layers)], layer{above: rel, rules: rules})}
}
