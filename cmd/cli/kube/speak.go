package kube

import (
	"regexp"

	"github.com/spf13/cobra"
)

// typed matches kubectl where it is a command that the reader would type, not where it is a name.
var typed = regexp.MustCompile(`(?m)(^\s*|['"\x60|(]\s?|\$ )kubectl `)

// speakAs makes the help of c and of its subcommands show commands that work as they stand.
func speakAs(name string, c *cobra.Command) {
	c.Example = typed.ReplaceAllString(c.Example, "${1}"+name+" ")
	c.Long = typed.ReplaceAllString(c.Long, "${1}"+name+" ")
	for _, sub := range c.Commands() {
		speakAs(name, sub)
	}
}
