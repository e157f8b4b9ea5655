// Package updatecontext is `skiff update-context`: put the cluster's context back into the kubeconfig, or a second one beside it.
package updatecontext

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/profile"
)

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	var keep bool
	var alias string
	c := &cobra.Command{
		Use:   "update-context",
		Short: "Put the cluster's context into the kubeconfig, and make it current",
		Long: `Put the context of the profile into the kubeconfig that kubectl would write, and make it the current one. start does
the same; this is for a kubeconfig that was edited, replaced, or chosen with KUBECONFIG afterwards.

With --alias there is a second context for the cluster, under a name that other tools know: Tilt, Skaffold and their like decide by
the name of a context whether its cluster is a local one, and whether the images that they build have to be pushed. Under
"docker-desktop" they do here what is right for an engine that is the cluster's own. Whatever updates or removes the cluster's
context does it for the alias, too.`,
		Example: `  skiff update-context
  KUBECONFIG=./kubeconfig skiff update-context
  skiff update-context --alias docker-desktop`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			p, err := e.Profile()
			if err != nil {
				return err
			}
			creds, err := p.ReadCredentials()
			if err != nil {
				if !p.Exists() {
					return exit.With(exit.NotRunning, fmt.Errorf("profile %q has no cluster", p.Name), e.Command("start"))
				}
				return err
			}
			name, path, err := p.MergeKubeconfig(creds, !keep)
			if err == nil && alias != "" {
				name = alias
				path, err = p.AddAlias(creds, alias, !keep)
			}
			if errors.Is(err, profile.ErrTaken) {
				return exit.With(exit.General, err, "choose another name, or put the alias into a file of its own: KUBECONFIG=FILE "+e.Command("update-context --alias "+alias))
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(e.IO.Out, "context %q is in %s\n", name, path)
			return nil
		},
	}
	c.Flags().BoolVar(&keep, "keep-context", false, "Leave the current context as it is")
	c.Flags().StringVar(&alias, "alias", "", "A second name for the context, e.g. docker-desktop for Tilt and Skaffold")
	return c
}
