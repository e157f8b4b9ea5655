// Package manifest turns the bytes of one file into Kubernetes objects and, where it can't, says at which line and
// column and why. It is pure: it opens no file and asks no cluster.
//
// Values are read exactly as kubectl reads them (YAML 1.1 by sigs.k8s.io/yaml), so that a manifest means the same here
// and there. A second, stricter parser is asked only after a failure, because it knows columns.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Object is one Kubernetes object and the place where it was written.
type Object struct {
	*unstructured.Unstructured
	// Hash identifies the content: two objects with the same hash would be applied alike.
	Hash string
	// Origin is where it was written.
	Origin Origin
}

// Origin is a place in a file, with enough of the text to find a field in it later.
type Origin struct {
	// File is the name for people.
	File string
	// Line is the 1-based line on which the document starts, 0 if the object was generated.
	Line int

	text  []byte
	start int // line on which text starts; differs from Line for the items of a List
	item  int // index in a List, -1 otherwise
}

// Result is what one file holds. Objects and Problems may both be set: a broken document does not hide its neighbours
// from a reader of the result, though a caller that applies should refuse the whole file.
type Result struct {
	Objects  []Object
	Problems []Problem
	// Foreign is the line of the first document that is valid but not for a cluster: one without apiVersion and kind, or
	// the configuration of a tool such as kind or skaffold. 0 when there is none.
	Foreign int
}

// Parse reads every document of a file. The name is used in problems and chooses nothing: JSON is recognised by its
// first character.
func Parse(name string, data []byte) Result {
	var result Result
	data, problem := decodeText(name, data)
	if problem != nil {
		result.Problems = append(result.Problems, *problem)
		return result
	}
	if isJSON(data) {
		if parseJSON(name, data, &result) {
			return result
		}
		result = Result{} // flow-style YAML looks like JSON
	}
	for _, doc := range split(data) {
		parseYAML(name, doc, &result)
	}
	return result
}

// Generated takes over objects that a kustomization or a chart rendered. They have no line of their own.
func Generated(name string, content map[string]any) ([]Object, []Problem) {
	var result Result
	add(content, Origin{File: name, item: -1}, &result)
	if result.Foreign > 0 {
		result.Problems = append(result.Problems, Problem{File: name, Reason: "it renders a document without apiVersion and kind"})
	}
	return result.Objects, result.Problems
}

func parseYAML(name string, doc document, result *Result) {
	converted, err := yaml.YAMLToJSONStrict(doc.text)
	if err != nil {
		result.Problems = append(result.Problems, yamlProblem(name, doc, err))
		return
	}
	if bytes.Equal(bytes.TrimSpace(converted), []byte("null")) {
		return
	}
	var value any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(converted, &value); err != nil {
		result.Problems = append(result.Problems, Problem{File: name, Line: doc.line, Column: 1, Reason: err.Error()})
		return
	}
	add(value, Origin{File: name, Line: doc.line, start: doc.line, text: doc.text, item: -1}, result)
}

// parseJSON reads a stream of JSON objects. It returns false when the text isn't JSON from its first value on.
func parseJSON(name string, data []byte, result *Result) bool {
	decoder := json.NewDecoder(bytes.NewReader(data))
	for first := true; ; first = false {
		start := int(decoder.InputOffset())
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if err != nil {
			if len(bytes.TrimSpace(data[start:])) == 0 {
				return true
			}
			if first && !looksLikeJSONFile(name) {
				return false
			}
			result.Problems = append(result.Problems, jsonProblem(name, data, decoder, err))
			return true
		}
		begin := int(decoder.InputOffset()) - len(raw)
		line, column := lineColumn(data, begin)
		var value any
		strict, err := kjson.UnmarshalStrict(raw, &value)
		if err == nil && len(strict) > 0 {
			err = strict[0]
		}
		if err != nil {
			result.Problems = append(result.Problems, Problem{File: name, Line: line, Column: column, Reason: err.Error()})
			continue
		}
		// The text starts at the line's beginning so that columns found in it are those of the file.
		text := append(bytes.Repeat([]byte(" "), column-1), raw...)
		add(value, Origin{File: name, Line: line, start: line, text: text, item: -1}, result)
	}
}

// add checks what every object must have and expands lists.
func add(value any, origin Origin, result *Result) {
	content, ok := value.(map[string]any)
	if !ok {
		result.Problems = append(result.Problems, Problem{
			File: origin.File, Line: origin.Line, Column: 1,
			Reason: fmt.Sprintf("expected an object with apiVersion and kind, found %s", describe(value)),
			Hint:   "every document of a manifest is a mapping: key: value",
		})
		return
	}
	if !hasAny(content, "apiVersion", "kind", "metadata") && !misspelt(content) {
		result.foreign(origin.Line)
		return
	}
	if items, ok := content["items"].([]any); ok && isList(content) {
		lines := origin.itemLines()
		for i, item := range items {
			itemOrigin := origin
			itemOrigin.item = i
			if i < len(lines) {
				itemOrigin.Line = lines[i]
			}
			add(item, itemOrigin, result)
		}
		return
	}
	if belongsToTool(content) {
		result.foreign(origin.Line)
		return
	}
	if problems := check(content, origin); len(problems) > 0 {
		result.Problems = append(result.Problems, problems...)
		return
	}
	obj := Object{Unstructured: &unstructured.Unstructured{Object: content}, Origin: origin}
	if err := obj.setHash(); err != nil {
		result.Problems = append(result.Problems, Problem{File: origin.File, Line: origin.Line, Column: 1, Reason: err.Error()})
		return
	}
	result.Objects = append(result.Objects, obj)
}

func (r *Result) foreign(line int) {
	if r.Foreign == 0 {
		r.Foreign = max(line, 1)
	}
}

// belongsToTool recognises files that look like manifests and that no API server serves.
func belongsToTool(content map[string]any) bool {
	version, _ := content["apiVersion"].(string)
	kind, _ := content["kind"].(string)
	group, _, _ := strings.Cut(version, "/")
	switch group {
	case "kustomize.config.k8s.io", "kind.x-k8s.io", "skaffold", "k3d.io", "ctlptl.dev":
		return true
	case "v1":
		return kind == "Config" // a kubeconfig
	}
	return false
}

func (o *Object) setHash() error {
	canonical, err := json.Marshal(o.Object)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	sum := sha256.Sum256(canonical)
	o.Hash = hex.EncodeToString(sum[:8])
	return nil
}

func isList(content map[string]any) bool {
	kind, _ := content["kind"].(string)
	version, _ := content["apiVersion"].(string)
	return len(kind) >= 4 && kind[len(kind)-4:] == "List" && version != ""
}

func hasAny(content map[string]any, keys ...string) bool {
	for _, key := range keys {
		if _, ok := content[key]; ok {
			return true
		}
	}
	return false
}

func describe(value any) string {
	switch value.(type) {
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case nil:
		return "nothing"
	default:
		return "a number"
	}
}
