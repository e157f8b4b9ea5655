package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff.local/skiff/watch/nearest"
)

// schemaLife is how long a group's schema is kept after it explained something: as long as a person who repairs one
// mistake after the other, and no longer, because apps/v1 alone is some megabytes when it is decoded.
const schemaLife = time.Minute

// schemas fetches the OpenAPI v3 documents of groups, only to explain failures.
type schemas struct {
	mu     sync.Mutex
	groups map[schema.GroupVersion]*groupSchema // guarded by mu
}

type groupSchema struct {
	components map[string]*node
	expires    *time.Timer
}

// node is the part of an OpenAPI schema that tells whether a field exists and what it may hold.
type node struct {
	Ref        string           `json:"$ref"`
	AllOf      []*node          `json:"allOf"`
	Type       string           `json:"type"`
	Properties map[string]*node `json:"properties"`
	Items      *node            `json:"items"`
	Additional json.RawMessage  `json:"additionalProperties"`
	Enum       []any            `json:"enum"`
	Open       bool             `json:"x-kubernetes-preserve-unknown-fields"`
	IntOrStr   bool             `json:"x-kubernetes-int-or-string"`
	Format     string           `json:"format"`
	Kinds      []struct {
		Group, Version, Kind string
	} `json:"x-kubernetes-group-version-kind"`
}

func (s *schemas) group(c *Cluster, gv schema.GroupVersion) (*groupSchema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[gv]; g != nil {
		g.expires.Reset(schemaLife)
		return g, nil
	}
	paths, err := c.client.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return nil, fmt.Errorf("ask for the schema of %s: %w", gv, err)
	}
	path := "apis/" + gv.String()
	if gv.Group == "" {
		path = "api/" + gv.Version
	}
	document, ok := paths[path]
	if !ok {
		return nil, fmt.Errorf("ask for the schema of %s: the cluster has none", gv)
	}
	raw, err := document.Schema("application/json")
	if err != nil {
		return nil, fmt.Errorf("ask for the schema of %s: %w", gv, err)
	}
	var decoded struct {
		Components struct {
			Schemas map[string]*node `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", gv, err)
	}
	g := &groupSchema{components: decoded.Components.Schemas}
	g.expires = time.AfterFunc(schemaLife, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.groups, gv)
	})
	if s.groups == nil {
		s.groups = map[schema.GroupVersion]*groupSchema{}
	}
	s.groups[gv] = g
	return g, nil
}

func (g *groupSchema) kind(gvk schema.GroupVersionKind) *node {
	for _, component := range g.components {
		for _, kind := range component.Kinds {
			if kind.Group == gvk.Group && kind.Version == gvk.Version && kind.Kind == gvk.Kind && component.Properties != nil {
				return component
			}
		}
	}
	return nil
}

// resolve follows references; a description beside a reference wraps it in allOf.
func (g *groupSchema) resolve(n *node) *node {
	for range 10 {
		switch {
		case n == nil:
			return nil
		case n.Ref != "":
			n = g.components[strings.TrimPrefix(n.Ref, "#/components/schemas/")]
		case len(n.AllOf) == 1 && n.Properties == nil:
			n = n.AllOf[0]
		default:
			return n
		}
	}
	return nil
}

// checkSchema finds the fields of an object that its kind does not have, or that hold something of another type.
func (c *Cluster) checkSchema(_ context.Context, obj *unstructured.Unstructured) []Explanation {
	gvk := obj.GroupVersionKind()
	group, err := c.schemas.group(c, gvk.GroupVersion())
	if err != nil {
		return nil // the server's own words must do
	}
	root := group.kind(gvk)
	if root == nil {
		return nil
	}
	check := schemaCheck{group: group}
	check.value(obj.Object, root, "", nil)
	return check.found
}

type schemaCheck struct {
	group *groupSchema
	found []Explanation
}

// step is a level above the one that is checked.
type step struct {
	path string
	node *node
}

func (s *schemaCheck) add(e Explanation) { s.found = append(s.found, e) }

func (s *schemaCheck) value(value any, n *node, path string, above []step) {
	n = s.group.resolve(n)
	if n == nil || value == nil {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		s.object(v, n, path, above)
	case []any:
		if n.Type != "array" {
			s.wrongType(value, n, path)
			return
		}
		for i, element := range v {
			s.value(element, n.Items, fmt.Sprintf("%s[%d]", path, i), above)
		}
	default:
		s.scalar(value, n, path)
	}
}

func (s *schemaCheck) object(fields map[string]any, n *node, path string, above []step) {
	if n.Type != "" && n.Type != "object" {
		s.wrongType(fields, n, path)
		return
	}
	keys := make([]string, 0, len(fields))
	for key := range fields {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	below := append(slices.Clone(above), step{path: path, node: n})
	for _, key := range keys {
		at := join(path, key)
		if property, known := n.Properties[key]; known {
			s.value(fields[key], property, at, below)
			continue
		}
		if additional := n.additional(); additional != nil {
			s.value(fields[key], additional, at, below)
			continue
		}
		if n.Open || n.Properties == nil || path == "" && (key == "apiVersion" || key == "kind" || key == "metadata") {
			continue
		}
		where := path
		if where == "" {
			where = "the object"
		}
		s.add(Explanation{Reason: fmt.Sprintf("%s has no field %q", where, key), Hint: s.fieldHint(key, n, below), Path: at, Key: true})
	}
}

func (n *node) additional() *node {
	if len(n.Additional) == 0 || n.Additional[0] != '{' {
		return nil
	}
	var additional node
	if json.Unmarshal(n.Additional, &additional) != nil {
		return nil
	}
	return &additional
}

// fieldHint says what an unknown field probably was meant to be: a known one of another spelling, or one of another
// level, put here by a wrong indentation.
func (s *schemaCheck) fieldHint(key string, n *node, above []step) string {
	names := sortedNames(n)
	if near := nearest.Of(key, names); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	for i := len(above) - 2; i >= 0; i-- {
		if _, known := above[i].node.Properties[key]; known {
			where := above[i].path
			if where == "" {
				where = "the top"
			}
			return fmt.Sprintf("%s belongs to %s: is it indented too deep?", key, where)
		}
	}
	for _, name := range names {
		child := s.group.resolve(n.Properties[name])
		if child != nil && child.Type == "array" {
			child = s.group.resolve(child.Items)
		}
		if child != nil && child.Properties[key] != nil && name != "status" && name != "metadata" {
			return fmt.Sprintf("%s belongs under %s: is it indented deep enough?", key, name)
		}
	}
	if len(names) > 0 && len(names) <= 8 {
		return "known here: " + strings.Join(names, ", ")
	}
	return ""
}

func sortedNames(n *node) []string {
	names := make([]string, 0, len(n.Properties))
	for name := range n.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (s *schemaCheck) scalar(value any, n *node, path string) {
	if n.IntOrStr || n.Format == "int-or-string" || n.Open || n.Type == "" {
		return
	}
	if quantity := n.Type == "string" && n.Format == ""; quantity && isNumber(value) && strings.Contains(path, "resources.") {
		return // a quantity may be written as a number
	}
	ok := false
	switch n.Type {
	case "string":
		_, ok = value.(string)
	case "boolean":
		_, ok = value.(bool)
	case "integer", "number":
		ok = isNumber(value)
	}
	if !ok {
		s.wrongType(value, n, path)
		return
	}
	text, isText := value.(string)
	if !isText || len(n.Enum) == 0 || slices.Contains(n.Enum, value) {
		return
	}
	var allowed []string
	for _, option := range n.Enum {
		if option, ok := option.(string); ok && option != "" {
			allowed = append(allowed, option)
		}
	}
	if slices.Contains(allowed, text) || text == "" {
		return
	}
	hint := "allowed: " + strings.Join(allowed, ", ")
	if near := nearest.Of(text, allowed); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	s.add(Explanation{Reason: fmt.Sprintf("%s can't be %q", path, text), Hint: hint, Path: path})
}

func isNumber(value any) bool {
	switch value.(type) {
	case int64, float64:
		return true
	}
	return false
}

func (s *schemaCheck) wrongType(value any, n *node, path string) {
	want := map[string]string{"array": "a list", "object": "a mapping", "string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false"}[n.Type]
	found, hint, quote := "a mapping", "", false
	switch v := value.(type) {
	case []any:
		found = "a list"
		if n.Type == "object" {
			hint = "leave the dash out"
		}
	case map[string]any:
		if n.Type == "array" {
			hint = "begin each element with a dash: - name: …"
		}
	case string:
		found = fmt.Sprintf("the string %q", v)
		if n.Type == "integer" && v != "" && strings.Trim(v, "0123456789") == "" || n.Type == "boolean" && (v == "true" || v == "false") {
			hint = "leave the quotes out"
		}
	case bool:
		found, quote = fmt.Sprint(v), n.Type == "string"
	default:
		found, quote = fmt.Sprintf("the number %v", v), n.Type == "string"
	}
	s.add(Explanation{Reason: fmt.Sprintf("%s must be %s, found %s", path, want, found), Hint: hint, Path: path, Quote: quote})
}

func join(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./"):
		return fmt.Sprintf("%s[%s]", path, key)
	case path == "":
		return key
	default:
		return path + "." + key
	}
}
