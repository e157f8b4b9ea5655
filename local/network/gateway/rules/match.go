package rules

import (
	"fmt"
	"regexp"
	"strings"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// addMatches adds a rule for each of its matches, or for everything when it has none. before is how much was unsupported when
// the rule began: when there is more by now, requests are answered with what it is.
func addMatches[M any](out *Rules, t routing.Route, before int, matches []M, match func(*routing.Route, M) error) {
	if len(matches) == 0 {
		matches = make([]M, 1)
	}
	first := len(out.templates)
	for _, m := range matches {
		t := t
		if err := match(&t, m); err != nil {
			out.unsupport("%v", err)
			continue
		}
		out.templates = append(out.templates, t)
	}
	if len(out.unsupported) > before {
		out.dropped++
		for i := range out.templates[first:] {
			fail(&out.templates[first+i], strings.Join(out.unsupported[before:], "; "))
		}
	}
}

// add adds a value that is demanded; of those with one name the first counts.
func add(list *[]routing.Value, name, value, kind string, same func(a, b string) bool) error {
	for _, have := range *list {
		if same(have.Name, name) {
			return nil
		}
	}
	v := routing.Value{Name: name, Text: value}
	if kind == "RegularExpression" {
		var err error
		if v.Pattern, err = whole(value); err != nil {
			return err
		}
	}
	*list = append(*list, v)
	return nil
}

// whole compiles an expression that must match all of a text.
func whole(expression string) (*regexp.Regexp, error) {
	r, err := regexp.Compile("^(?:" + expression + ")$")
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", expression, err)
	}
	return r, nil
}
