package watch

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"skiff.local/skiff/watch/plan"
)

// templatePath is where an object keeps the template of its pods: nil for objects without, empty for a Pod itself.
// Custom kinds that look like workloads count as such.
func templatePath(obj *unstructured.Unstructured) []string {
	if obj.GetKind() == "Pod" && obj.GetAPIVersion() == "v1" {
		return []string{}
	}
	for _, path := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}} {
		if _, found, _ := unstructured.NestedSlice(obj.Object, append(slices.Clone(path), "spec", "containers")...); found {
			return path
		}
	}
	return nil
}

func podSpec(obj *unstructured.Unstructured, path []string) map[string]any {
	spec, _, _ := unstructured.NestedMap(obj.Object, append(slices.Clone(path), "spec")...)
	return spec
}

// containersWith names the containers of a pod that run an image.
func containersWith(spec map[string]any, image string) []string {
	var names []string
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for _, c := range containers {
			fields, _ := c.(map[string]any)
			name, _ := fields["name"].(string)
			if used, _ := fields["image"].(string); used != "" && sameImage(used, image) {
				names = append(names, name)
			}
		}
	}
	return names
}

// replaceImages makes objects run other images than they name.
func (s *Set) replaceImages() error {
	if len(s.definition.Images) == 0 {
		return nil
	}
	for i := range s.state.objects {
		obj := &s.state.objects[i]
		path := templatePath(obj.Unstructured)
		if path == nil {
			continue
		}
		changed := obj.Unstructured.DeepCopy()
		replaced := ""
		for _, list := range []string{"initContainers", "containers"} {
			at := append(slices.Clone(path), "spec", list)
			containers, found, _ := unstructured.NestedSlice(changed.Object, at...)
			for _, c := range containers {
				fields, _ := c.(map[string]any)
				image, _ := fields["image"].(string)
				if other := s.definition.Images[image]; other != "" {
					fields["image"] = other
					replaced += "-" + other
				}
			}
			if found {
				if err := unstructured.SetNestedSlice(changed.Object, containers, at...); err != nil {
					return fmt.Errorf("replace the images of %s: %w", obj.ref, err)
				}
			}
		}
		if replaced != "" {
			sum := sha256.Sum256([]byte(replaced))
			obj.Unstructured, obj.Hash = changed, fmt.Sprintf("%s-%x", obj.Hash, sum[:4])
		}
	}
	return nil
}

// sameImage compares references as the engine understands them: app is docker.io/library/app:latest.
func sameImage(a, b string) bool {
	if a == b {
		return true
	}
	full := func(text string) string {
		named, err := reference.ParseDockerRef(text)
		if err != nil {
			return text
		}
		return named.String()
	}
	return full(a) == full(b)
}

// configsOf lists the ConfigMaps and Secrets that a pod reads.
func configsOf(spec map[string]any, namespace string) []plan.Ref {
	found := map[plan.Ref]bool{}
	add := func(kind string, name any) {
		if name, ok := name.(string); ok && name != "" {
			found[plan.Ref{Kind: kind, Namespace: namespace, Name: name}] = true
		}
	}
	walkMaps(spec, func(key string, fields map[string]any) {
		switch key {
		case "configMapRef", "configMapKeyRef", "configMap":
			add("ConfigMap", fields["name"])
		case "secretRef", "secretKeyRef":
			add("Secret", fields["name"])
		case "secret":
			add("Secret", fields["secretName"])
			add("Secret", fields["name"]) // of a projected volume
		}
	})
	return slices.SortedFunc(maps.Keys(found), func(a, b plan.Ref) int {
		if a.Kind != b.Kind {
			return len(a.Kind) - len(b.Kind)
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
}

func walkMaps(value any, visit func(key string, fields map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if fields, ok := inner.(map[string]any); ok {
				visit(key, fields)
			}
			walkMaps(inner, visit)
		}
	case []any:
		for _, inner := range v {
			walkMaps(inner, visit)
		}
	}
}
