// Package flags are the flags of skiffd. It exists so that skiffd, which parses them, and `skiff daemon run`, which shows
// them and passes them on, have the same ones without the command line linking the control plane.
package flags

import (
	"github.com/spf13/pflag"

	"skiff.local/skiff/local/client"
)

// Add defines the flags that decide how a cluster starts.
func Add(f *pflag.FlagSet, o *client.StartOptions) {
	f.IntVar(&o.APIPort, "api-port", 0, "TCP port of the Kubernetes API")
	f.StringVar(&o.Subnet, "subnet", "", "The /16 of pods and Services")
	f.IntVar(&o.Nodes, "nodes", 0, "How many nodes to show the engine as")
	f.StringVar(&o.Bind, "bind", "", "One more address that NodePorts listen on")
	f.BoolVar(&o.Restore, "restore", false, "Put back the last good copy of a damaged store first")
	f.IntVar(&o.Verbosity, "verbosity", 0, "How much to log (0 to 9)")
}
