package kube

import (
	"bytes"
	"strings"

	"github.com/spf13/cobra"
)

// Passthrough is `skiff kubectl`: the stock client's command line, word for word, on the profile's cluster.
func (m *Mount) Passthrough() *cobra.Command {
	c := &cobra.Command{
		Use:     "kubectl [--] ARGUMENTS",
		Short:   "Run kubectl's own command line on this cluster",
		GroupID: GroupID,
		Example: `  skiff kubectl get pods --all-namespaces
  skiff kubectl -- config view --minify
  alias kubectl='skiff kubectl --'`,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			root, g := m.tree("kubectl", "skiff kubectl", pick(args)...)
			root.Long = "kubectl's own command line, word for word, on the cluster of the profile."
			m.takeLeadingFlags(c.Root())
			return m.execute(c.Context(), root, g, append(m.leading, args...))
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			root, g := m.tree("kubectl", "skiff kubectl", pick(args)...)
			return m.completions(c.Context(), root, g, &bytes.Buffer{}, append(args, toComplete))
		},
	}
	return c
}

// pick returns the one verb that is called, or all of them when that can't be told without building them.
func pick(args []string) []Verb {
	all := append(Verbs(), stockOnly()...)
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return all
	}
	for _, v := range all {
		if v.Name == args[0] {
			return []Verb{v}
		}
	}
	return all
}

// Options is `skiff options`: the flags that kubectl's verbs share, to which their help refers.
func (m *Mount) Options() *cobra.Command {
	return &cobra.Command{
		Use: "options", Short: "List the flags that kubectl's verbs share", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			root, g := m.tree("skiff", "")
			return m.execute(c.Context(), root, g, []string{"options"})
		},
	}
}
