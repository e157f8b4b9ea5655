// Package outgrow says what in a set of manifests would behave differently on another cluster than on skiff: where a
// laptop's conveniences end. It is pure: objects and facts go in, findings come out.
package outgrow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"skiff.local/skiff/watch/manifest"
)

// Severity orders findings.
type Severity int

const (
	// Breaks: it won't work there as it is.
	Breaks Severity = iota
	// Differs: it works, but not as here.
	Differs
	// Advice: it works, and should be better where others share the machine.
	Advice
)

// String is the severity in a word.
func (s Severity) String() string { return [...]string{"breaks", "differs", "advice"}[s] }

// MarshalText makes it that word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing to know about one object.
type Finding struct {
	Severity Severity `json:"severity"`
	Object   string   `json:"object"`
	File     string   `json:"file"`
	Line     int      `json:"line,omitempty"`
	What     string   `json:"what"`
	Hint     string   `json:"hint,omitempty"`
}

// Facts are what is known of the other cluster, and of the images here. A nil map means that it isn't known, which
// keeps the findings that depend on it from being made.
type Facts struct {
	// Cluster is what people call it.
	Cluster string
	// Kinds tells whether a kind is served, by apiVersion/kind.
	Kinds map[string]bool
	// StorageClasses and IngressClasses by name; the value tells the default one.
	StorageClasses, IngressClasses map[string]bool
	// Architectures of its nodes.
	Architectures map[string]bool
	// Local are the images that only this machine's engine has, with their architecture.
	Local map[string]string
	// Registry is where local images will be pushed to, "" for nowhere.
	Registry string
}

// Check lists the findings, the worst first, in the order of the manifests.
func Check(objects []manifest.Object, facts Facts) []Finding {
	var all []Finding
	for _, obj := range objects {
		c := checker{facts: facts, obj: obj}
		c.check()
		all = append(all, c.found...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.Severity, b.Severity) })
	return all
}

type checker struct {
	facts Facts
	obj   manifest.Object
	found []Finding
}

func (c *checker) add(severity Severity, path, what, hint string) {
	line, _, _ := c.obj.Origin.Locate(path)
	c.found = append(c.found, Finding{Severity: severity, Object: c.obj.GetKind() + " " + c.obj.GetName(), File: c.obj.Origin.File, Line: line, What: what, Hint: hint})
}

func (c *checker) text(path ...string) string {
	value, _, _ := unstructured.NestedString(c.obj.Object, path...)
	return value
}

func (c *checker) check() {
	if c.facts.Kinds != nil && !c.facts.Kinds[c.obj.GetAPIVersion()+"/"+c.obj.GetKind()] && c.obj.GetKind() != "CustomResourceDefinition" {
		c.add(Breaks, "kind", fmt.Sprintf("%s does not serve %s %s", c.facts.Cluster, c.obj.GetAPIVersion(), c.obj.GetKind()), "install what defines it first, or use the version that is served")
	}
	switch c.obj.GetKind() {
	case "Service":
		c.service()
	case "Ingress":
		c.ingress()
	case "PersistentVolumeClaim":
		c.claim(c.obj.Object, "spec")
	case "StatefulSet":
		templates, _, _ := unstructured.NestedSlice(c.obj.Object, "spec", "volumeClaimTemplates")
		for i, template := range templates {
			if fields, ok := template.(map[string]any); ok {
				c.claim(fields, fmt.Sprintf("spec.volumeClaimTemplates[%d].spec", i))
			}
		}
	case "PersistentVolume":
		if _, found, _ := unstructured.NestedMap(c.obj.Object, "spec", "hostPath"); found {
			c.add(Differs, "spec.hostPath", "a hostPath volume is a directory of one node there", "use a StorageClass")
		}
	}
	c.pods()
	for name := range c.obj.GetAnnotations() {
		if name == "skiff.local/sync" || strings.HasPrefix(name, "skiff.local/build") {
			c.add(Advice, "metadata.annotations["+name+"]", name+" means nothing there", "")
		}
	}
}

func (c *checker) service() {
	switch c.text("spec", "type") {
	case "NodePort":
		what := "a NodePort opens on every node there, not on localhost; firewalls usually close it"
		ports, _, _ := unstructured.NestedSlice(c.obj.Object, "spec", "ports")
		for i, port := range ports {
			if fields, _ := port.(map[string]any); fields["nodePort"] != nil {
				c.add(Differs, fmt.Sprintf("spec.ports[%d].nodePort", i), fmt.Sprintf("node port %v may be taken there: they are shared by the whole cluster", fields["nodePort"]), "leave nodePort out")
			}
		}
		c.add(Differs, "spec.type", what, "type: ClusterIP with an Ingress, or type: LoadBalancer")
	case "LoadBalancer":
		c.add(Differs, "spec.type", "a LoadBalancer gets an address of the provider there, often public and billed, instead of localhost", "")
	}
	if external, found, _ := unstructured.NestedStringSlice(c.obj.Object, "spec", "externalIPs"); found && len(external) > 0 {
		c.add(Differs, "spec.externalIPs", "external IPs are often forbidden on shared clusters", "")
	}
}

func (c *checker) ingress() {
	class := c.text("spec", "ingressClassName")
	if classes := c.facts.IngressClasses; classes != nil {
		switch _, known := classes[class]; {
		case class != "" && !known:
			c.add(Breaks, "spec.ingressClassName", fmt.Sprintf("%s has no ingress class %s%s", c.facts.Cluster, class, listed(classes)), "")
		case class == "" && !hasDefault(classes):
			c.add(Breaks, "spec", c.facts.Cluster+" has no default ingress class, so nobody serves this Ingress", "set ingressClassName"+listed(classes))
		}
	}
	rules, _, _ := unstructured.NestedSlice(c.obj.Object, "spec", "rules")
	for i, rule := range rules {
		fields, _ := rule.(map[string]any)
		host, _ := fields["host"].(string)
		if host == "localhost" || strings.HasSuffix(host, ".localhost") {
			c.add(Breaks, fmt.Sprintf("spec.rules[%d].host", i), host+" means the visitor's own machine", "use a name that resolves to the cluster")
		}
	}
}

func (c *checker) claim(fields map[string]any, path string) {
	class, found, _ := unstructured.NestedString(fields, "spec", "storageClassName")
	if classes := c.facts.StorageClasses; classes != nil {
		switch _, known := classes[class]; {
		case found && class != "" && !known:
			c.add(Breaks, path+".storageClassName", fmt.Sprintf("%s has no storage class %s%s", c.facts.Cluster, class, listed(classes)), "leave it out to use the default one")
		case !found && !hasDefault(classes):
			c.add(Breaks, path, c.facts.Cluster+" has no default storage class, so the claim stays pending", "set storageClassName"+listed(classes))
		}
	}
	modes, _, _ := unstructured.NestedStringSlice(fields, "spec", "accessModes")
	if slices.Contains(modes, "ReadWriteMany") {
		c.add(Differs, path+".accessModes", "ReadWriteMany needs a file system that several nodes can mount; many clusters have none", "")
	}
}

func hasDefault(classes map[string]bool) bool {
	for _, isDefault := range classes {
		if isDefault {
			return true
		}
	}
	return false
}

func listed(classes map[string]bool) string {
	if len(classes) == 0 {
		return ""
	}
	names := make([]string, 0, len(classes))
	for name := range classes {
		names = append(names, name)
	}
	slices.Sort(names)
	return " (it has " + strings.Join(names, ", ") + ")"
}
