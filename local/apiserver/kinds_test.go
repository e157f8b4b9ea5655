package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// TestKinds sends manifests of all kinds, valid and invalid, and compares what the server makes of them with
// testdata/kinds/*.golden: the fields it adds or changes, its warnings, or the text with which it refuses.
//
// A .yaml file there has in its first document a manifest that is fine. Each further document is a change to it
// (a JSON merge patch), which may turn it into another kind or break it. Nothing is stored (dryRun=All).
func TestKinds(t *testing.T) {
	c := sharedCluster(t)
	namespace := c.namespace(t)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))
	files, err := filepath.Glob("testdata/kinds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no manifests", err)
	}
	sent := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			docs := readDocuments(t, file)
			var have strings.Builder
			var base []string
			for i, doc := range docs {
				object, title := docs[0], "as it is"
				if i > 0 {
					object, title = mergePatch(docs[0], doc).(map[string]any), compact(t, doc)
				}
				fmt.Fprintf(&have, "%s\n", title)
				lines := c.tryCreate(t, mapper, namespace, object)
				sent[fmt.Sprint(object["apiVersion"], " ", object["kind"])] = true
				if i == 0 {
					base = lines
				}
				for _, line := range beside(base, lines, i > 0 && object["kind"] == docs[0]["kind"]) {
					fmt.Fprintf(&have, "\t%s\n", line)
				}
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			got := unique.ReplaceAllString(have.String(), "…")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("%s (-want +have):\n%s\nupdate with: go test ./local/apiserver -run TestKinds -update", golden, diff)
			}
		})
	}
	for _, kind := range c.creatableKinds(t) {
		if !sent[kind] {
			t.Errorf("no manifest of %s in testdata/kinds", kind)
		}
	}
}

// creatableKinds are all that the server has of its own and takes, in all their versions.
func (c *testCluster) creatableKinds(t *testing.T) (kinds []string) {
	t.Helper()
	_, lists, err := c.client.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lists {
		for _, r := range l.APIResources {
			custom := strings.HasSuffix(l.GroupVersion, "example.com/v1") // other tests' kinds
			if slices.Contains(r.Verbs, "create") && !strings.Contains(r.Name, "/") && !custom {
				kinds = append(kinds, l.GroupVersion+" "+r.Kind)
			}
		}
	}
	return kinds
}

// unique are the parts of an answer that no two have in common: UIDs, hashes of keys, times and generated names.
var unique = regexp.MustCompile(`X509SHA256=[0-9a-f]{64}|20[2-9][0-9]-[01][0-9]-[0-3][0-9]T[0-9:]{8}Z|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|config-[a-z0-9]{5}\b`)

// tryCreate posts object and returns what became of it in lines.
func (c *testCluster) tryCreate(t *testing.T, mapper meta.RESTMapper, namespace string, object map[string]any) (lines []string) {
	t.Helper()
	u := unstructured.Unstructured{Object: object}
	gvk := u.GroupVersionKind()
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatalf("%s: %v", gvk, err)
	}
	path := "/apis/" + gvk.GroupVersion().String()
	if gvk.Group == "" {
		path = "/api/" + gvk.Version
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		path += "/namespaces/" + namespace
	}
	path += "/" + mapping.Resource.Resource + "?dryRun=All&fieldValidation=Strict"
	sent, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	code, header, body := c.do(t, "POST", path, string(sent))
	for _, w := range header.Values("Warning") {
		lines = append(lines, strings.Replace(w, "299 - ", "warning: ", 1))
	}
	if code != http.StatusCreated {
		var status metav1.Status
		if err := json.Unmarshal([]byte(body), &status); err != nil {
			t.Fatalf("answer %d: %s", code, body)
		}
		return append(lines, fmt.Sprintf("%d %s: %s", status.Code, status.Reason, status.Message))
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if gvk.Kind == "Pod" {
		lines = append(lines, foldPod(answer)...)
	}
	before, after := map[string]string{}, map[string]string{}
	flatten("", object, before)
	flatten("", answer, after)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if after[path] != before[path] && !changing(path) {
			lines = append(lines, path+": "+after[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[path]; !ok {
			lines = append(lines, "dropped: "+path)
		}
	}
	return lines
}

// foldPod takes out of a Pod what admission adds to almost every one, and says so in a line for each.
func foldPod(pod map[string]any) (lines []string) {
	const account = "kube-api-access-"
	fold := func(what string, from map[string]any, field string, is func(map[string]any) bool) {
		list, _ := from[field].([]any)
		rest := slices.DeleteFunc(slices.Clone(list), func(e any) bool { return is(e.(map[string]any)) })
		if len(rest) == len(list) {
			return
		}
		lines = append(lines, what)
		if from[field] = rest; len(rest) == 0 {
			delete(from, field)
		}
	}
	spec := pod["spec"].(map[string]any)
	fold("has the token of its service account", spec, "volumes", func(v map[string]any) bool { return strings.HasPrefix(v["name"].(string), account) })
	fold("tolerates a bad node for 300 s", spec, "tolerations", func(v map[string]any) bool { return v["tolerationSeconds"] == 300.0 })
	for _, field := range []string{"containers", "initContainers"} {
		list, _ := spec[field].([]any)
		for i, c := range list {
			fold(fmt.Sprintf("mounts the token in %s[%d]", field, i), c.(map[string]any), "volumeMounts", func(v map[string]any) bool { return strings.HasPrefix(v["name"].(string), account) })
		}
	}
	return lines
}

// beside are the lines that the manifest without the change does not have, and those that only it has. So that
// the golden files show what a change does.
func beside(base, lines []string, changed bool) (out []string) {
	if !changed {
		return lines
	}
	for _, l := range lines {
		if !slices.Contains(base, l) {
			out = append(out, l)
		}
	}
	if len(lines) > 0 && strings.HasPrefix(lines[len(lines)-1], "4") {
		return out // it was refused
	}
	for _, l := range base {
		if path, _, _ := strings.Cut(l, ": "); !slices.Contains(lines, l) && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, path+": ") }) {
			out = append(out, "not added: "+path)
		}
	}
	return out
}

// changing are fields that differ from run to run.
func changing(path string) bool {
	for _, prefix := range []string{"metadata.creationTimestamp", "metadata.managedFields", "metadata.namespace", "metadata.uid", "spec.clusterIP", "status.startTime"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return strings.Contains(path, "controller-uid") || strings.Contains(path, "odePort")
}

// flatten writes the leaves of v as path: value.
func flatten(path string, v any, to map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && path != "" {
			to[path] = "{}"
		}
		for k, e := range v {
			flatten(strings.TrimPrefix(path+"."+k, "."), e, to)
		}
	case []any:
		if len(v) == 0 {
			to[path] = "[]"
		}
		for i, e := range v {
			flatten(fmt.Sprintf("%s[%d]", path, i), e, to)
		}
	case string:
		to[path] = v
	default:
		b, _ := json.Marshal(v) // came from JSON
		to[path] = string(b)
	}
}

// mergePatch is RFC 7386, on copies.
func mergePatch(to, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	old, _ := to.(map[string]any)
	merged := maps.Clone(old)
	if merged == nil {
		merged = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(merged, k)
			continue
		}
		merged[k] = mergePatch(merged[k], v)
	}
	return merged
}

func readDocuments(t *testing.T, file string) (docs []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range bytes.Split(b, []byte("\n---")) {
		var doc map[string]any
		if err := yaml.Unmarshal(part, &doc); err != nil {
			t.Fatalf("%s, document %d: %v", file, i+1, err)
		}
		if doc != nil {
			docs = append(docs, doc)
		}
	}
	return docs
}

func compact(t *testing.T, doc map[string]any) string {
	t.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
