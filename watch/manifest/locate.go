package manifest

import (
	"strconv"
	"strings"

	yaml4 "go.yaml.in/yaml/v4"
)

// Locate finds where a field of the object is written, given the path that the API server uses in its answers
// (spec.template.spec.containers[0].image, .spec.ports[name="web"].port, data[key.with.dots]). Of a path that leads
// nowhere the deepest existing part counts, with ok false. Objects without a text have no place but their file.
func (o Origin) Locate(path string) (line, column int, ok bool) {
	node, _, found := o.find(path)
	if node == nil {
		return o.Line, min(o.Line, 1), false
	}
	return o.base() + node.Line, node.Column, found
}

// LocateKey is like Locate, but for the field's name instead of its value.
func (o Origin) LocateKey(path string) (line, column int, ok bool) {
	node, key, found := o.find(path)
	switch {
	case key != nil:
		return o.base() + key.Line, key.Column, found
	case node != nil:
		return o.base() + node.Line, node.Column, found
	default:
		return o.Line, min(o.Line, 1), false
	}
}

// Text returns a value as it was written.
func (o Origin) Text(path string) (string, bool) {
	node, _, found := o.find(path)
	if !found || node.Kind != yaml4.ScalarNode {
		return "", false
	}
	return node.Value, true
}

// itemLines returns the line of each element of a List.
func (o Origin) itemLines() []int {
	items, _, found := o.find("items")
	if !found {
		return nil
	}
	lines := make([]int, 0, len(items.Content))
	for _, item := range items.Content {
		lines = append(lines, o.base()+item.Line)
	}
	return lines
}

// base is the number of lines before the text.
func (o Origin) base() int { return o.start - 1 }

func (o Origin) find(path string) (value, key *yaml4.Node, found bool) {
	if len(o.text) == 0 {
		return nil, nil, false
	}
	var root yaml4.Node
	if err := yaml4.Load(o.text, &root, yaml4.WithSingleDocument(), yaml4.WithUniqueKeys(false)); err != nil {
		return nil, nil, false
	}
	node := &root
	if node.Kind == yaml4.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	if o.item >= 0 {
		_, items := child(node, segment{name: "items"})
		if items == nil || o.item >= len(items.Content) {
			return nil, nil, false
		}
		node = items.Content[o.item]
	}
	for _, part := range segments(path) {
		nextKey, next := child(node, part)
		if next == nil {
			return node, key, false
		}
		node, key = next, nextKey
	}
	return node, key, true
}

// segment is one step of a field path: a name, an index, or the key of a list element.
type segment struct {
	name    string
	index   int
	indexed bool
	key     string // with value: [key="value"]
	value   string
}

// segments takes a field path apart. Anything is accepted; nonsense just leads nowhere.
func segments(path string) []segment {
	var parts []segment
	for path != "" {
		switch path[0] {
		case '.':
			path = path[1:]
		case '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return parts
			}
			inside := path[1:end]
			path = path[end+1:]
			if index, err := strconv.Atoi(inside); err == nil && index >= 0 {
				parts = append(parts, segment{index: index, indexed: true, name: inside})
			} else if key, value, isKey := strings.Cut(inside, "="); isKey {
				// Of several keys the first one is enough to find the place.
				value, _, _ = strings.Cut(value, ",")
				parts = append(parts, segment{key: key, value: strings.Trim(value, `"`), name: inside})
			} else {
				parts = append(parts, segment{name: strings.Trim(inside, `"`)})
			}
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			parts = append(parts, segment{name: path[:end]})
			path = path[end:]
		}
	}
	return parts
}

func child(node *yaml4.Node, part segment) (key, value *yaml4.Node) {
	for depth := 0; node != nil && node.Kind == yaml4.AliasNode && depth < 10; depth++ {
		node = node.Alias
	}
	if node == nil {
		return nil, nil
	}
	switch node.Kind {
	case yaml4.SequenceNode:
		if part.indexed && part.index < len(node.Content) {
			return nil, node.Content[part.index]
		}
		if part.key == "" {
			return nil, nil
		}
		for _, element := range node.Content {
			if _, field := child(element, segment{name: part.key}); field != nil && field.Value == part.value {
				return nil, element
			}
		}
	case yaml4.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == part.name {
				return node.Content[i], node.Content[i+1]
			}
		}
	}
	return nil, nil
}
