package daemon

import (
	"errors"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/local/client"
)

// newRunCmd returns `skiff daemon run`. Its flags are those that client.StartOptions passes on.
func newRunCmd(e *env.Env) *cobra.Command {
	var o client.StartOptions
	c := &cobra.Command{
		Use:    "run",
		Short:  "Run the cluster in the foreground",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			_ = e
			return errors.New("this build has no daemon")
		},
	}
	f := c.Flags()
	f.IntVar(&o.APIPort, "api-port", 0, "TCP port of the Kubernetes API")
	f.StringVar(&o.Subnet, "subnet", "", "The /16 of pods and Services")
	f.IntVar(&o.Nodes, "nodes", 0, "How many nodes to show the engine as")
	f.StringVar(&o.Bind, "bind", "", "One more address that NodePorts listen on")
	f.IntVar(&o.Verbosity, "verbosity", 0, "How much to log (0 to 9)")
	return c
}
