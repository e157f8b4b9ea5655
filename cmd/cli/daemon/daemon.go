// Package daemon is `skiff daemon`: the verb behind which the cluster itself runs. Other verbs start it; people rarely
// type it.
package daemon

import (
	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
)

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "daemon",
		Short: "Run the cluster's process, or register it as a service of yours",
		Long: `The cluster is one process, the daemon, which every verb that needs it starts. Run it in the foreground to see what it
does, or let your session's service manager run it.`,
	}
	c.AddCommand(newRunCmd(e), newInstallCmd(e), newUninstallCmd(e))
	return c
}
