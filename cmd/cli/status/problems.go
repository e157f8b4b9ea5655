package status

import (
	"fmt"
	"io"
	"strings"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/local/client"
)

// problems lists what is not well. What many pods share is said once: those that wait for one image, and those that one
// owner made and that have the same reason.
func problems(w io.Writer, list []client.Problem, c iostreams.Colours) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", c.Bold("Not well"))
	for _, g := range group(list) {
		text, hint := g.describe()
		fmt.Fprintf(w, "  %s %s\n", c.Red("✗"), text)
		if hint != "" {
			fmt.Fprintf(w, "    %s\n", c.Cyan(hint))
		}
	}
}

// trouble is what one cause did to any number of objects.
type trouble struct {
	client.Problem // of the first object
	count          int
}

// group keeps the order of the first of each. What an image or an owner does not join is said as it is: the network may have
// trouble with two ports.
func group(list []client.Problem) []*trouble {
	var groups []*trouble
	known := map[string]*trouble{}
	for _, p := range list {
		key := p.Object + " " + p.Reason + " " + p.Message
		switch {
		case p.Image != "":
			key = "image " + p.Image
		case p.Owner != "":
			namespaced := p.Object[:strings.LastIndexByte(p.Object, '/')+1]
			key = namespaced + p.Owner + " " + p.Reason
		}
		if g := known[key]; g != nil {
			g.count++
			continue
		}
		known[key] = &trouble{Problem: p, count: 1}
		groups = append(groups, known[key])
	}
	return groups
}

func (t *trouble) describe() (text, hint string) {
	if t.Image != "" {
		text = fmt.Sprintf("image %s is missing, and %s for it: %s", t.Image, env.Count(t.count, "pod waits", "pods wait"), t.whyNoImage())
		return text, fmt.Sprintf("docker build -t %s .   or: %s", t.Image, t.Hint)
	}
	text = t.Object
	if t.count > 1 && t.Owner != "" {
		text += fmt.Sprintf(" and %d more of %s", t.count-1, t.Owner)
	}
	text += ": " + t.Reason
	if t.Message != "" {
		text += ": " + t.Message
	}
	return text, t.Hint
}

// whyNoImage is the message without what the line says already: it nests one sentence for each layer that failed.
func (t *trouble) whyNoImage() string {
	if _, cause, ok := strings.Cut(t.Message, fmt.Sprintf("Failed to pull image %q: ", t.Image)); ok {
		return cause
	}
	return t.Reason
}
