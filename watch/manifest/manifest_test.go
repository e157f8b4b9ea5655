package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// summary is one line per object and problem, in the order of the file.
func summary(result Result) string {
	var lines []string
	for _, obj := range result.Objects {
		lines = append(lines, fmt.Sprintf("%s %s/%s line %d", obj.GetAPIVersion(), obj.GetKind(), obj.GetName(), obj.Origin.Line))
	}
	for _, problem := range result.Problems {
		lines = append(lines, problem.Error())
	}
	if result.Foreign > 0 {
		lines = append(lines, fmt.Sprintf("foreign line %d", result.Foreign))
	}
	return strings.Join(lines, "\n")
}

func TestParse(t *testing.T) {
	const config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	for _, tc := range []struct{ name, file, text, want string }{
		{"one document", "a.yaml", config, "v1 ConfigMap/a line 1"},
		{"an empty file holds nothing", "a.yaml", "", ""},
		{"comments alone hold nothing", "a.yaml", "# later\n---\n# more\n", ""},
		{"several documents keep their lines", "a.yaml", config + "---\n" + strings.Replace(config, "name: a", "name: b", 1) + "---\n",
			"v1 ConfigMap/a line 1\nv1 ConfigMap/b line 4"},
		{"a comment on the marker stays a comment", "a.yaml", "--- # Source: chart\n" + config, "v1 ConfigMap/a line 1"},
		{"a marker inside a block scalar that is indented cuts nothing", "a.yaml", config + "data:\n  x: |\n    ---\n    y\n", "v1 ConfigMap/a line 1"},
		{"a directive is skipped", "a.yaml", "%YAML 1.2\n---\n" + config, "v1 ConfigMap/a line 2"},
		{"an end marker ends the document", "a.yaml", config + "...\n", "v1 ConfigMap/a line 1"},
		{"windows line ends", "a.yaml", strings.ReplaceAll(config+"---\n"+config, "\n", "\r\n"), "v1 ConfigMap/a line 1\nv1 ConfigMap/a line 4"},
		{"a byte order mark", "a.yaml", "\ufeff" + config, "v1 ConfigMap/a line 1"},
		{"UTF-16 as Windows' editors write it", "a.yaml", "\xff\xfe" + utf16le(config), "v1 ConfigMap/a line 1"},
		{"a List is expanded", "a.yaml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: b}\n",
			"v1 ConfigMap/a line 4\nv1 Secret/b line 7"},
		{"JSON", "a.json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, "v1 ConfigMap/a line 1"},
		{"a stream of JSON objects", "a.json", "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"b\"}}",
			"v1 ConfigMap/a line 1\nv1 ConfigMap/b line 2"},
		{"flow style YAML is not JSON", "a.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "v1 ConfigMap/a line 1"},
		{"another program's file", "compose.yaml", "services:\n  web:\n    image: x\n", "foreign line 1"},
		{"a tool's configuration", "kind.yaml", "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n", "foreign line 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, summary(Parse(tc.file, []byte(tc.text)))); diff != "" {
				t.Errorf("unexpected result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseSaysWhatIsWrongAndWhere(t *testing.T) {
	for _, tc := range []struct{ name, file, text, want string }{
		{"a tab as indentation", "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n",
			"a.yaml:4:1: found character that cannot start any token (a tab stands here: YAML is indented with spaces)"},
		{"a key deeper than its sibling", "a.yaml", "apiVersion: v1\nkind: ConfigMap\n  metadata:\n    name: a\n",
			"a.yaml:3:3: mapping values are not allowed in this context (metadata is indented deeper than kind in line 2, which already has a value)"},
		{"a key that lines up with nothing", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n    name: a\n  labels: {}\n",
			"a.yaml:5:3: did not find expected key (while parsing a block mapping at line 1) (labels lines up with nothing above it: check its indentation)"},
		{"a forgotten space after the colon", "a.yaml", "apiVersion: v1\nkind:Pod\nmetadata:\n  name: a\n",
			"a.yaml:2:6: could not find expected ':' (while scanning a simple key at line 2) (a space is missing after the colon: kind: Pod)"},
		{"an open quote", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"a\nspec: {}\n",
			"a.yaml:6:1: found unexpected end of stream (while scanning a quoted scalar at line 4)"},
		{"a merge conflict", "a.yaml", "apiVersion: v1\n<<<<<<< HEAD\nkind: Pod\n=======\nkind: Job\n>>>>>>> b\n",
			"a.yaml:2:1: a merge left its conflict marker here (resolve the conflict)"},
		{"a template that was not rendered", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Values.name }}\n",
			"a.yaml:4:9: braces open a mapping that can't stand here (this looks like a template: point skiff at the chart's directory (the one with Chart.yaml), or quote the braces)"},
		{"the same key twice", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n",
			"a.yaml:5:3: mapping key \"name\" already defined at line 4"},
		{"the second document is broken", "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: [\n",
			"v1 ConfigMap/a line 1\na.yaml:7:1: did not find expected node content"},
		{"kind is missing", "a.yaml", "apiVersion: v1\nmetadata: {name: a}\n", "a.yaml:1:1: kind is missing (for example kind: Deployment)"},
		{"kind is mistyped", "a.yaml", "apiVersion: v1\nKind: Pod\nmetadata: {name: a}\n", "a.yaml:2:1: kind is missing (is \"Kind\" meant to be \"kind\"?)"},
		{"both are mistyped", "a.yaml", "apiversion: v1\nKind: Pod\nspec: {}\n",
			"a.yaml:1:1: apiVersion is missing (is \"apiversion\" meant to be \"apiVersion\"?)\na.yaml:2:1: kind is missing (is \"Kind\" meant to be \"kind\"?)"},
		{"the name is missing", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {a: b}\n", "a.yaml:4:3: metadata.name is missing (give the object a name)"},
		{"metadata is mistyped", "a.yaml", "apiVersion: v1\nkind: Pod\nmetdata:\n  name: a\n", "a.yaml:1:1: metadata is missing (is \"metdata\" meant to be \"metadata\"?)"},
		{"the name is a number", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: 123\n",
			"a.yaml:4:9: metadata.name must be a string, found a number (quote it: name: \"123\")"},
		{"a label is a bool", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    on-call: yes\n",
			"a.yaml:6:14: the value of on-call must be a string, found true or false (quote it: on-call: \"yes\")"},
		{"generateName", "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: a-\n",
			"a.yaml:4:17: generateName can't be applied again and again: every save would make another object (give it a name)"},
		{"a list instead of an object", "a.yaml", "- a\n- b\n", "a.yaml:1:1: expected an object with apiVersion and kind, found a list (every document of a manifest is a mapping: key: value)"},
		{"a comma too many in JSON", "a.json", "{\"apiVersion\": \"v1\",\n \"kind\": \"Pod\",}\n",
			"a.json:2:16: invalid character '}' looking for beginning of object key string (JSON allows no comma after the last element)"},
		{"JSON that ends early", "a.json", "{\"apiVersion\": \"v1\"", "a.json:1:20: the JSON ends in the middle of a value"},
		{"bytes that are no text", "a.yaml", "apiVersion: v1\nkind: \xff\n", "a.yaml:2:7: this is not text: the bytes here are not valid UTF-8 (save the file as UTF-8, or list it in .skiffignore)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, summary(Parse(tc.file, []byte(tc.text)))); diff != "" {
				t.Errorf("unexpected result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHashFollowsContentNotText(t *testing.T) {
	parse := func(text string) Object { return Parse("a.yaml", []byte(text)).Objects[0] }
	plain := parse("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}\n")
	moved := parse("# comment\ndata:\n  x: y\nkind: ConfigMap\nmetadata:\n  name: a\napiVersion: v1\n")
	other := parse("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: z}\n")
	if plain.Hash != moved.Hash {
		t.Errorf("comments and order changed the hash: %s, %s", plain.Hash, moved.Hash)
	}
	if plain.Hash == other.Hash {
		t.Error("another value kept the hash")
	}
}

func TestLocate(t *testing.T) {
	result := Parse("a.yaml", []byte(`# first
---
apiVersion: v1
kind: Pod
metadata:
  name: a
  labels:
    app.kubernetes.io/name: x
spec:
  containers:
  - name: web
    image: nginx
  - name: side
    imagee: y
`))
	for _, tc := range []struct {
		path string
		want string
	}{
		{"spec.containers[1].name", "13:11 true"},
		{`.spec.containers[name="side"].imagee`, "14:13 true"},
		{"metadata.labels[app.kubernetes.io/name]", "8:29 true"},
		{"spec.containers[1].image", "13:5 false"},
		{"spec.restartPolicy", "10:3 false"},
		{"", "3:1 true"},
	} {
		line, column, ok := result.Objects[0].Origin.Locate(tc.path)
		if got := fmt.Sprintf("%d:%d %v", line, column, ok); got != tc.want {
			t.Errorf("Locate(%q) = %s, want %s", tc.path, got, tc.want)
		}
	}
	if line, column, ok := result.Objects[0].Origin.LocateKey(`spec.containers[1].imagee`); line != 14 || column != 5 || !ok {
		t.Errorf("LocateKey = %d:%d %v", line, column, ok)
	}
}

func utf16le(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		b.WriteByte(c)
		b.WriteByte(0)
	}
	return b.String()
}
