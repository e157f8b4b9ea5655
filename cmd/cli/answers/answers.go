// Package answers holds the verbs that people bring from other local clusters and that skiff has no work for: each says
// in a line or two why, and what to do instead.
package answers

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
)

// NewCmds returns tunnel, addons, ip and dashboard.
func NewCmds(e *env.Env) []*cobra.Command {
	return []*cobra.Command{newTunnelCmd(e), newAddonsCmd(e), newIPCmd(e), newDashboardCmd(e)}
}

func newTunnelCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "tunnel", Short: "Explain that none is needed, and show the URLs", Args: cobra.NoArgs,
		Long: `Other local clusters need a tunnel before a LoadBalancer has an address. Here every LoadBalancer and NodePort Service
answers on localhost by itself, as long as the cluster runs.`,
		Example: "  skiff tunnel",
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(e.IO.ErrOut, "No tunnel is needed: LoadBalancer and NodePort Services answer on localhost.")
			cluster, err := e.Connect()
			if err != nil {
				return nil // not running: there is nothing to show, and nothing wrong
			}
			ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
			defer cancel()
			status, err := cluster.Status(ctx)
			if err != nil {
				return err
			}
			for _, s := range status.Services {
				for _, u := range s.URLs {
					fmt.Fprintf(e.IO.Out, "%s/%s %s\n", s.Namespace, s.Name, u)
				}
			}
			return nil
		},
	}
}

// builtIn is what other local clusters offer as addons.
func builtIn() [][2]string {
	return [][2]string{
		{"dns", "the cluster's DNS, in the relay"},
		{"storage-provisioner", "StorageClass standard, on Docker volumes"},
		{"metrics-server", "metrics.k8s.io, for skiff top and autoscalers"},
		{"ingress", "Ingress on localhost, IngressClass skiff"},
		{"load-balancer", "LoadBalancer Services on localhost"},
		{"registry", "not needed: pods run the images of your engine"},
	}
}

func newAddonsCmd(e *env.Env) *cobra.Command {
	c := &cobra.Command{
		Use: "addons", Short: "Show what is built in; there is nothing to enable",
		Long: "What other local clusters offer as addons is part of skiff and always on. It costs nothing until it is used.",
	}
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "Show what is built in", Args: cobra.NoArgs,
		Example: "  skiff addons list",
		RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(e.IO.Out, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tWHAT IT IS HERE")
			for _, a := range builtIn() {
				fmt.Fprintf(w, "%s\t%s\n", a[0], a[1])
			}
			return w.Flush()
		},
	})
	c.AddCommand(&cobra.Command{
		Use: "enable NAME", Short: "Explain that there is nothing to enable", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			for _, a := range builtIn() {
				if a[0] == args[0] {
					fmt.Fprintf(e.IO.Out, "%s is built in and on: %s\n", a[0], a[1])
					return nil
				}
			}
			fmt.Fprintf(e.IO.Out, "%s is not part of skiff; install it as on any cluster, e.g. with helm\n", args[0])
			return nil
		},
	})
	return c
}

func newIPCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "ip", Short: "Print the address where the cluster answers: 127.0.0.1", Args: cobra.NoArgs,
		Long:    "Print the address on which NodePorts, load balancers and the API answer. It is always this machine.",
		Example: "  curl http://$(skiff ip):30080/",
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(e.IO.Out, "127.0.0.1")
			return nil
		},
	}
}

func newDashboardCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "dashboard", Short: "Say that there is no web page yet, and what shows the cluster meanwhile", Args: cobra.NoArgs,
		Long: `A web page of skiff's own is to come. Every program that shows a Kubernetes cluster works with skiff's context
meanwhile, and skiff status shows the whole cluster on one screen.`,
		Example: "  skiff status -w",
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(e.IO.Out, "The dashboard is to come. Meanwhile: `%s`, or any Kubernetes client: k9s, Headlamp, Lens.\n", e.Command("status -w"))
			return nil
		},
	}
}
