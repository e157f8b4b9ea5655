// Package docs is `skiff docs`: the reference and the man pages, made from the commands themselves so that they can't say
// something else.
package docs

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/kube"
	"skiff.local/skiff/local/profile"
)

// NewCmd returns the hidden verb. Some verbs are stubs until they are called; built returns the real one, or nil.
func NewCmd(e *env.Env, built func(name string) *cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: "docs", Short: "Write the reference", Hidden: true}
	c.AddCommand(&cobra.Command{
		Use: "markdown", Short: "Print docs/cli.md", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(e.IO.Out, Markdown(c.Root(), built))
			return err
		},
	})
	c.AddCommand(&cobra.Command{
		Use: "man DIR", Short: "Write the man pages to a directory", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			root := c.Root()
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Title: "SKIFF", Section: "1", Source: "skiff " + e.Version}, args[0])
		},
	})
	return c
}

// Markdown is the reference of all verbs on one page.
func Markdown(root *cobra.Command, built func(name string) *cobra.Command) string {
	b := &strings.Builder{}
	b.WriteString("# skiff's command line\n\n")
	b.WriteString("<!-- Made from the commands by `make docs`. -->\n\n")
	b.WriteString(root.Long + "\n\n")
	// What this user's environment chose is not part of the reference.
	root.PersistentFlags().Lookup("profile").DefValue = profile.DefaultName
	b.WriteString("Flags that every verb takes:\n\n")
	code(b, "", root.PersistentFlags().FlagUsages())
	b.WriteString("Exit codes are listed in [exit-codes.md](exit-codes.md).\n")
	for _, g := range root.Groups() {
		if g.ID == kube.GroupID {
			continue
		}
		fmt.Fprintf(b, "\n## %s\n", strings.TrimSuffix(g.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID != g.ID || c.Hidden {
				continue
			}
			if real := built(c.Name()); real != nil {
				c = real
			}
			verb(b, c)
		}
	}
	kubectl(b, root)
	return b.String()
}

func verb(b *strings.Builder, c *cobra.Command) {
	if c.Hidden || !c.IsAvailableCommand() {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n", c.CommandPath())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	b.WriteString(text + "\n\n")
	if c.Runnable() && !c.HasSubCommands() {
		code(b, "", c.UseLine())
	}
	if c.HasExample() {
		code(b, "console", dedent(c.Example))
	}
	if f := c.LocalNonPersistentFlags(); f.HasAvailableFlags() {
		code(b, "", strings.TrimRight(f.FlagUsages(), "\n"))
	}
	for _, sub := range c.Commands() {
		verb(b, sub)
	}
}

func kubectl(b *strings.Builder, root *cobra.Command) {
	b.WriteString("\n## kubectl's verbs\n\nThese are kubectl's own, on the profile's cluster; `skiff VERB --help` shows their flags.\n\n| verb | |\n|---|---|\n")
	for _, c := range root.Commands() {
		if c.GroupID == kube.GroupID && !c.Hidden {
			fmt.Fprintf(b, "| `skiff %s` | %s |\n", c.Name(), c.Short)
		}
	}
}

func code(b *strings.Builder, language, text string) {
	fmt.Fprintf(b, "```%s\n%s\n```\n\n", language, strings.TrimRight(text, "\n"))
}

func dedent(example string) string {
	lines := strings.Split(example, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}
