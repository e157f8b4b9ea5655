package manifest

import (
	"bytes"
	"testing"

	"sigs.k8s.io/yaml"
)

// FuzzParse holds what every input must satisfy: no panic, every place lies within the file, every object can be
// written out and read back to the same hash, and a second reading gives the same answer.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "---\n---\n", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "a:\n\tb", "{\"a\":", "- x", "\xff\xfea\x00",
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n", "x: &a [*a]", "...\n%YAML 1.2\n",
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: 1\n  labels: {a: 1, b: yes}\n", "kind:Pod\n", "<<<<<<< a\n",
	} {
		f.Add("a.yaml", []byte(seed))
	}
	f.Add("a.json", []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}} {`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		result := Parse(name, data)
		text, problem := decodeText(name, data)
		lines := bytes.Count(data, []byte("\n")) + 1
		if problem == nil {
			lines = bytes.Count(text, []byte("\n")) + 1
		}
		for _, p := range result.Problems {
			if p.Line < 0 || p.Line > lines+1 || p.Column < 0 || p.Reason == "" || p.File != name {
				t.Fatalf("impossible problem %#v in %d lines of %q", p, lines, data)
			}
		}
		for _, obj := range result.Objects {
			if obj.Origin.Line < 1 || obj.Origin.Line > lines {
				t.Fatalf("object on line %d of %d", obj.Origin.Line, lines)
			}
			obj.Origin.Locate("spec.containers[0].image")
			written, err := yaml.Marshal(obj.Object)
			if err != nil {
				t.Fatal(err)
			}
			again := Parse("again.yaml", written)
			if len(again.Objects) != 1 || again.Objects[0].Hash != obj.Hash {
				t.Fatalf("not the same when written and read again: %s\n%s", summary(again), written)
			}
		}
		if second := Parse(name, data); summary(second) != summary(result) {
			t.Fatalf("two readings differ:\n%s\n%s", summary(result), summary(second))
		}
	})
}

// FuzzLocate holds that no path, however wrong, leads out of the file.
func FuzzLocate(f *testing.F) {
	origin := Parse("a.yaml", []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: x\n")).Objects[0].Origin
	f.Add(`spec.containers[0][x="y,z"].b`)
	f.Fuzz(func(t *testing.T, path string) {
		if line, column, _ := origin.Locate(path); line < 1 || line > 6 || column < 1 {
			t.Fatalf("%q is at %d:%d", path, line, column)
		}
	})
}
