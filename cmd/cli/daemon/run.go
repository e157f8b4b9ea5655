package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/local/client"
	cluster "skiff.local/skiff/local/daemon"
)

// newRunCmd returns `skiff daemon run`. Its flags are those that client.StartOptions passes on.
func newRunCmd(e *env.Env) *cobra.Command {
	var o client.StartOptions
	c := &cobra.Command{
		Use:    "run",
		Short:  "Run the cluster in the foreground",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			p, err := e.Profile()
			if err != nil {
				return err
			}
			// Whoever started the daemon may be gone before the last line about it is written.
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			log := logger(os.Stderr, o.Verbosity)
			return cluster.Run(ctx, cluster.Options{Profile: p, Start: o, Version: e.Version, Events: os.Stdout, Logger: log})
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

// logger writes skiff's and Kubernetes' messages to the daemon's log, in one form. Verbosity 0 leaves out debug
// messages and what Kubernetes' own code says on its level 1 and above.
func logger(w io.Writer, verbosity int) *slog.Logger {
	handler := slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.Level(-verbosity)})
	klog.SetLogger(logr.FromSlogHandler(handler))
	return slog.New(handler)
}
