package outgrow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"skiff.local/skiff/watch/manifest"
)

// pods checks the pods that an object makes.
func (c *checker) pods() {
	path := TemplatePath(c.obj)
	if path == nil {
		return
	}
	at := strings.Join(append(path, "spec"), ".")
	spec, _, _ := unstructured.NestedMap(c.obj.Object, append(path, "spec")...)
	volumes, _ := spec["volumes"].([]any)
	for i, volume := range volumes {
		if fields, _ := volume.(map[string]any); fields["hostPath"] != nil {
			c.add(Differs, fmt.Sprintf("%s.volumes[%d].hostPath", at, i), "hostPath is the node's file system there, and often forbidden", "use a PersistentVolumeClaim, or bake the files into the image")
		}
	}
	if host, _ := spec["hostNetwork"].(bool); host {
		c.add(Differs, at+".hostNetwork", "hostNetwork is the node's network there, and often forbidden", "")
	}
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for i, container := range containers {
			if fields, ok := container.(map[string]any); ok {
				c.container(fields, fmt.Sprintf("%s.%s[%d]", at, list, i), list == "containers")
			}
		}
	}
}

func (c *checker) container(fields map[string]any, at string, main bool) {
	image, _ := fields["image"].(string)
	policy, _ := fields["imagePullPolicy"].(string)
	arch, local := c.facts.Local[image]
	switch {
	case local && c.facts.Registry == "":
		c.add(Breaks, at+".image", fmt.Sprintf("only this machine has the image %s", image), "name a registry to push it to: --registry registry.example/team")
	case local && policy == "Never":
		c.add(Breaks, at+".imagePullPolicy", "imagePullPolicy: Never keeps the nodes from fetching the pushed image", "leave it out")
	case policy == "Never":
		c.add(Differs, at+".imagePullPolicy", "imagePullPolicy: Never works only where the image is on the node already", "leave it out")
	}
	if local && c.facts.Architectures != nil && arch != "" && !c.facts.Architectures[arch] {
		c.add(Breaks, at+".image", fmt.Sprintf("the image is built for %s; the nodes there are not", arch), "docker build --platform")
	}
	if !local && movingTag(image) {
		c.add(Advice, at+".image", fmt.Sprintf("%s may be another image on every node: the tag moves", image), "name a version")
	}
	if !main {
		return
	}
	if requests, _, _ := unstructured.NestedMap(fields, "resources", "requests"); len(requests) == 0 {
		c.add(Advice, at, "no resource requests: the scheduler there can't plan for it, and it is the first to be evicted", "resources: {requests: {cpu: 50m, memory: 64Mi}}")
	}
	if ports, _ := fields["ports"].([]any); len(ports) > 0 && fields["readinessProbe"] == nil {
		c.add(Advice, at, "no readiness probe: it gets requests before it can answer them", "")
	}
}

func movingTag(image string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	if _, digested := named.(reference.Digested); digested {
		return false
	}
	tagged, ok := named.(reference.Tagged)
	return !ok || tagged.Tag() == "latest"
}

// TemplatePath is where an object keeps its pods' template, nil if it makes none.
func TemplatePath(obj manifest.Object) []string {
	if obj.GetKind() == "Pod" && obj.GetAPIVersion() == "v1" {
		return []string{}
	}
	for _, path := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}} {
		if _, found, _ := unstructured.NestedSlice(obj.Object, append(append([]string{}, path...), "spec", "containers")...); found {
			return path
		}
	}
	return nil
}

// Images lists the images that objects run, each once, in their order.
func Images(objects []manifest.Object) []string {
	var images []string
	seen := map[string]bool{}
	for _, obj := range objects {
		path := TemplatePath(obj)
		if path == nil {
			continue
		}
		for _, list := range []string{"initContainers", "containers"} {
			containers, _, _ := unstructured.NestedSlice(obj.Object, append(append([]string{}, path...), "spec", list)...)
			for _, container := range containers {
				fields, _ := container.(map[string]any)
				if image, _ := fields["image"].(string); image != "" && !seen[image] {
					seen[image] = true
					images = append(images, image)
				}
			}
		}
	}
	return images
}

// Known tells whether a registry has had an image under the name that a manifest gives it. Digests are the names under
// which an engine pulled or pushed it: a push to somewhere else is none of this name.
func Known(image string, digests []string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(digests, func(digest string) bool {
		other, err := reference.ParseNormalizedNamed(digest)
		return err == nil && other.Name() == named.Name()
	})
}

// Pushed is what an image is called in a registry: its own name below the registry's prefix.
func Pushed(image, registry string) (string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", fmt.Errorf("read the image name %s: %w", image, err)
	}
	path := reference.Path(named)
	path = strings.TrimPrefix(path, "library/")
	tag := "latest"
	if tagged, ok := reference.TagNameOnly(named).(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	target := strings.TrimSuffix(registry, "/") + "/" + path + ":" + tag
	if _, err := reference.ParseNormalizedNamed(target); err != nil {
		return "", fmt.Errorf("%s is no name for an image: %w", target, err)
	}
	return target, nil
}
