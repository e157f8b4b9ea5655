package manifest

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"skiff.local/skiff/watch/nearest"
)

// topLevel are the fields that an object can be recognised by although its apiVersion or kind is mistyped.
var topLevel = []string{"apiVersion", "kind", "metadata", "spec", "data", "stringData"}

// misspelt reports whether some key of the document is nearly one of an object's, so that a mistyped manifest is an
// error and not taken for a file of another program.
func misspelt(content map[string]any) bool {
	matches := 0
	for key := range content {
		if near := nearest.Of(key, topLevel[:3]); near != "" {
			matches++
		}
	}
	_, hasSpec := content["spec"]
	return matches >= 2 || matches == 1 && hasSpec
}

// check finds what no API server would accept, so that it is said with its line and before anything is sent.
func check(content map[string]any, origin Origin) []Problem {
	var problems []Problem
	report := func(path, reason, hint string) {
		line, column, _ := origin.Locate(path)
		problems = append(problems, Problem{File: origin.File, Line: line, Column: column, Reason: reason, Hint: hint})
	}
	for _, field := range []string{"apiVersion", "kind"} {
		value, found := content[field]
		text, isString := value.(string)
		switch {
		case !found:
			hint := map[string]string{
				"apiVersion": "for example apiVersion: v1, or apiVersion: apps/v1 for a Deployment",
				"kind":       "for example kind: Deployment",
			}[field]
			if near := keyNear(content, field); near != "" {
				line, column, _ := origin.LocateKey(near)
				problems = append(problems, Problem{File: origin.File, Line: line, Column: column,
					Reason: fmt.Sprintf("%s is missing", field), Hint: fmt.Sprintf("is %q meant to be %q?", near, field)})
				continue
			}
			report("", field+" is missing", hint)
		case !isString:
			report(field, fmt.Sprintf("%s must be a string, found %s", field, describe(value)), "")
		case text == "":
			report(field, field+" is empty", "")
		}
	}
	if len(problems) > 0 {
		return problems
	}
	metadata, found := content["metadata"]
	if !found {
		hint := "add metadata: with a name: under it"
		if near := keyNear(content, "metadata"); near != "" {
			hint = fmt.Sprintf("is %q meant to be %q?", near, "metadata")
		}
		report("", "metadata is missing", hint)
		return problems
	}
	fields, isMap := metadata.(map[string]any)
	if !isMap {
		report("metadata", fmt.Sprintf("metadata must hold fields, found %s", describe(metadata)),
			"indent name: and the others under metadata:")
		return problems
	}
	checkMetadata(fields, origin, report)
	return problems
}

func checkMetadata(fields map[string]any, origin Origin, report func(path, reason, hint string)) {
	switch name := fields["name"].(type) {
	case string:
		if name == "" {
			report("metadata.name", "metadata.name is empty", "")
		}
	case nil:
		if _, generated := fields["generateName"]; generated {
			report("metadata.generateName", "generateName can't be applied again and again: every save would make another object",
				"give it a name")
			return
		}
		hint := "give the object a name"
		if near := keyNear(fields, "name"); near != "" {
			hint = fmt.Sprintf("is %q meant to be %q?", near, "name")
		}
		report("metadata", "metadata.name is missing", hint)
	default:
		report("metadata.name", fmt.Sprintf("metadata.name must be a string, found %s", describe(name)),
			quoteIt(origin, "name", "metadata.name", name))
	}
	if namespace, found := fields["namespace"]; found && namespace != nil {
		if _, isString := namespace.(string); !isString {
			report("metadata.namespace", fmt.Sprintf("metadata.namespace must be a string, found %s", describe(namespace)),
				quoteIt(origin, "namespace", "metadata.namespace", namespace))
		}
	}
	for _, group := range []string{"labels", "annotations"} {
		checkStrings(fields, group, origin, report)
	}
}

// checkStrings catches the most common slip with labels and annotations: version: 1.0 is a number, enabled: true a bool.
func checkStrings(fields map[string]any, group string, origin Origin, report func(path, reason, hint string)) {
	value, found := fields[group]
	if !found || value == nil {
		return
	}
	entries, isMap := value.(map[string]any)
	if !isMap {
		report("metadata."+group, fmt.Sprintf("metadata.%s must be a mapping of strings, found %s", group, describe(value)), "")
		return
	}
	keys := make([]string, 0, len(entries))
	for key := range entries {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		switch value := entries[key].(type) {
		case string:
		case map[string]any, []any:
			report(fmt.Sprintf("metadata.%s[%s]", group, key), fmt.Sprintf("the value of %s must be a string", key), "")
		case nil:
			report(fmt.Sprintf("metadata.%s[%s]", group, key), fmt.Sprintf("the value of %s is missing", key),
				fmt.Sprintf("for an empty value write %s: \"\"", key))
		default:
			report(fmt.Sprintf("metadata.%s[%s]", group, key),
				fmt.Sprintf("the value of %s must be a string, found %s", key, describe(value)),
				quoteIt(origin, key, fmt.Sprintf("metadata.%s[%s]", group, key), value))
		}
	}
}

// quoteIt shows a value as it should have been written. What was written may differ from what it means: in YAML as
// Kubernetes reads it n is false and 0x10 is sixteen.
func quoteIt(origin Origin, key, path string, value any) string {
	written := fmt.Sprint(value)
	if text, found := origin.Text(path); found && text != "" {
		written = text
	}
	return fmt.Sprintf("quote it: %s: %q", key, written)
}

// keyNear returns the key of content that is probably a misspelling of want.
func keyNear(content map[string]any, want string) string {
	var keys []string
	for key := range content {
		if !slices.Contains(topLevel, key) && !strings.EqualFold(key, "status") {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return nearest.Of(want, keys)
}
