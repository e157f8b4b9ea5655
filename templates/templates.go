// Package templates holds the manifests that `skiff new` starts from. They are embedded, plain Kubernetes, and written so
// that they pass Pod Security's restricted level and have probes and resources: what a starter gets wrong is copied.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"text/template"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

//go:embed starters/*.yaml
var files embed.FS

// Kind says what a parameter's value must be.
type Kind string

// The kinds of parameters.
const (
	Text     Kind = "text"
	Name     Kind = "name"     // a DNS label, as Services and Deployments have
	Image    Kind = "image"    // a container image's reference
	Port     Kind = "port"     // 1 to 65535
	Count    Kind = "count"    // 0 to 1000
	Quantity Kind = "quantity" // 1Gi, 500m
	Schedule Kind = "schedule" // five fields of cron
	Host     Kind = "host"     // a DNS name
)

// Param is one thing that a template leaves open.
type Param struct {
	Name    string
	Help    string
	Kind    Kind
	Default string
}

// Template is one starter.
type Template struct {
	Name    string
	Short   string
	Params  []Param
	Aliases []string
}

// Find returns the template of a name.
func Find(name string) (Template, bool) {
	for _, t := range All() {
		if t.Name == name {
			return t, true
		}
	}
	return Template{}, false
}

// Render fills in the template. Values that are missing take their defaults; name is the name of what is made.
func (t Template) Render(name string, values map[string]string) ([]byte, error) {
	if err := check(Name, name); err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	data := map[string]string{"name": name}
	for _, p := range t.Params {
		value, given := values[p.Name]
		if !given {
			value = p.Default
		}
		if err := check(p.Kind, value); err != nil {
			return nil, fmt.Errorf("%s %q: %w", p.Name, value, err)
		}
		data[p.Name] = value
	}
	raw, err := files.ReadFile("starters/" + t.Name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", t.Name, err)
	}
	// [[ ]] because {{ }} would make the templates no YAML, and editors of them unhappy.
	parsed, err := template.New(t.Name).Delims("[[", "]]").Option("missingkey=error").Funcs(template.FuncMap{"quote": strconv.Quote}).Parse(string(raw))
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", t.Name, err)
	}
	out := &bytes.Buffer{}
	if err := parsed.Execute(out, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", t.Name, err)
	}
	return out.Bytes(), nil
}

var (
	// The grammar of references is larger; this is what can stand in a manifest without quotes.
	imageRule    = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/-]*(:[0-9]+)?[A-Za-z0-9._/-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$`)
	scheduleRule = regexp.MustCompile(`^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9*,/A-Za-z-]+( [0-9*,/A-Za-z?-]+){4})$`)
)

// Check tells what is wrong with a value, or nil.
func (p Param) Check(value string) error { return check(p.Kind, value) }

func check(kind Kind, value string) error {
	switch kind {
	case Name:
		if problems := validation.IsDNS1035Label(value); len(problems) > 0 {
			return fmt.Errorf("use up to 63 lower-case letters, digits and dashes, starting with a letter")
		}
	case Host:
		if problems := validation.IsDNS1123Subdomain(value); len(problems) > 0 {
			return fmt.Errorf("not a host name")
		}
	case Image:
		if !imageRule.MatchString(value) {
			return fmt.Errorf("not an image reference")
		}
	case Port:
		return number(value, 1, 65535)
	case Count:
		return number(value, 0, 1000)
	case Quantity:
		if q, err := resource.ParseQuantity(value); err != nil || q.Sign() <= 0 {
			return fmt.Errorf("not a quantity; write it as 500Mi or 1Gi")
		}
	case Schedule:
		if !scheduleRule.MatchString(value) {
			return fmt.Errorf("not a schedule; write it as cron does, e.g. */5 * * * *")
		}
	}
	return nil
}

func number(value string, low, high int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return fmt.Errorf("not a number from %d to %d", low, high)
	}
	return nil
}
