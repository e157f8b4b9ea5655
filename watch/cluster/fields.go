package cluster

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// changedFields names the fields that differ between two versions of an object, leaving out what the server and the
// set write by themselves. It goes down to leaves of structures and to whole elements of lists, except that named
// elements (containers, ports, env) are compared by their name.
func changedFields(before, after map[string]any) []string {
	var paths []string
	for _, key := range keysOf(before, after) {
		switch key {
		case "apiVersion", "kind", "status":
		case "metadata":
			b, _ := before[key].(map[string]any)
			a, _ := after[key].(map[string]any)
			for _, field := range keysOf(b, a) {
				switch field {
				case "managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink":
				case "labels", "annotations":
					paths = append(paths, metaChanges("metadata."+field, b[field], a[field])...)
				default:
					paths = diff("metadata."+field, b[field], a[field], paths)
				}
			}
		default:
			paths = diff(key, before[key], after[key], paths)
		}
	}
	return paths
}

func metaChanges(path string, before, after any) []string {
	b, _ := before.(map[string]any)
	a, _ := after.(map[string]any)
	var paths []string
	for _, key := range keysOf(b, a) {
		switch {
		case key == annHash, key == annUnit, key == labelPartOf, key == corev1.LastAppliedConfigAnnotation,
			key == "deployment.kubernetes.io/revision":
		case !reflect.DeepEqual(b[key], a[key]):
			paths = append(paths, fmt.Sprintf("%s[%s]", path, key))
		}
	}
	return paths
}

func diff(path string, before, after any, paths []string) []string {
	if reflect.DeepEqual(before, after) {
		return paths
	}
	b, bothMaps := before.(map[string]any)
	a, ok := after.(map[string]any)
	if bothMaps = bothMaps && ok; bothMaps {
		for _, key := range keysOf(b, a) {
			step := "." + key
			if strings.ContainsAny(key, "./") {
				step = "[" + key + "]"
			}
			paths = diff(path+step, b[key], a[key], paths)
		}
		return paths
	}
	bList, bothLists := before.([]any)
	aList, ok := after.([]any)
	if bothLists = bothLists && ok; bothLists {
		return diffLists(path, bList, aList, paths)
	}
	return append(paths, path)
}

func diffLists(path string, before, after []any, paths []string) []string {
	b, named := byName(before)
	a, alsoNamed := byName(after)
	if !named || !alsoNamed {
		return append(paths, path)
	}
	order := false
	for _, name := range keysOf(b, a) {
		was := len(paths)
		paths = diff(fmt.Sprintf("%s[%s]", path, name), b[name], a[name], paths)
		order = order || len(paths) > was
	}
	if !order {
		return append(paths, path) // the same elements in another order
	}
	return paths
}

// byName indexes a list whose elements all have names of their own.
func byName(list []any) (map[string]any, bool) {
	index := make(map[string]any, len(list))
	for _, element := range list {
		fields, _ := element.(map[string]any)
		name, _ := fields["name"].(string)
		if name == "" || index[name] != nil {
			return nil, false
		}
		index[name] = element
	}
	return index, true
}

func keysOf(a, b map[string]any) []string {
	keys := make([]string, 0, len(a)+len(b))
	for key := range a {
		keys = append(keys, key)
	}
	for key := range b {
		if _, both := a[key]; !both {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}

// HideMarks removes what the set writes on its members, for showing an object to a person.
func HideMarks(obj *unstructured.Unstructured) {
	for _, annotation := range []string{annHash, annUnit, corev1.LastAppliedConfigAnnotation} {
		unstructured.RemoveNestedField(obj.Object, "metadata", "annotations", annotation)
	}
	unstructured.RemoveNestedField(obj.Object, "metadata", "labels", labelPartOf)
	for _, field := range []string{"annotations", "labels"} {
		if entries, found, _ := unstructured.NestedMap(obj.Object, "metadata", field); found && len(entries) == 0 {
			unstructured.RemoveNestedField(obj.Object, "metadata", field)
		}
	}
}
