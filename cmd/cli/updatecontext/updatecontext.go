// Package updatecontext is `skiff update-context`: put the cluster's context back into the kubeconfig.
package updatecontext

import (
	"fmt"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
)

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "update-context",
		Short: "Put the cluster's context into the kubeconfig, and make it current",
		Long: `Put the context of the profile into the kubeconfig that kubectl would write, and make it the current one. start does
the same; this is for a kubeconfig that was edited, replaced, or chosen with KUBECONFIG afterwards.`,
		Example: `  skiff update-context
  KUBECONFIG=./kubeconfig skiff update-context`,
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
			path, err := p.MergeKubeconfig(creds, !keep)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.IO.Out, "context %q is in %s\n", p.Context(), path)
			return nil
		},
	}
	c.Flags().BoolVar(&keep, "keep-context", false, "Leave the current context as it is")
	return c
}
