package daemon

import (
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/daemon"
)

// newRunCmd returns `skiff daemon run`. Its flags are those that client.StartOptions passes on. It writes its progress
// to standard output as JSON lines and its log to standard error.
func newRunCmd(e *env.Env) *cobra.Command {
	var o client.StartOptions
	c := &cobra.Command{
		Use:     "run",
		Short:   "Run the cluster in the foreground, until Ctrl-C; pods keep running",
		Args:    cobra.NoArgs,
		Example: "  skiff daemon run",
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := e.Profile()
			if err != nil {
				return err
			}
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			o.Version = e.Version
			return daemon.Run(ctx, daemon.Options{Profile: p, Start: o, Version: e.Version, Events: os.Stdout, Logger: logger(o.Verbosity)})
		},
	}
	f := c.Flags()
	f.IntVar(&o.APIPort, "api-port", 0, "TCP port of the Kubernetes API")
	f.StringVar(&o.Subnet, "subnet", "", "The /16 of pods and Services")
	f.IntVar(&o.Nodes, "nodes", 0, "How many nodes to show the engine as")
	f.StringVar(&o.Bind, "bind", "", "One more address that NodePorts listen on")
	f.BoolVar(&o.Restore, "restore", false, "Put back the last good copy of a damaged store first")
	f.IntVar(&o.Verbosity, "verbosity", 0, "How much to log (0 to 9)")
	return c
}

// logger writes skiff's and Kubernetes' messages to standard error, which is the daemon's log file.
func logger(verbosity int) *slog.Logger {
	level := slog.LevelInfo
	if verbosity > 0 {
		level = slog.LevelDebug
	}
	l := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	var v klog.Level
	_ = v.Set(strconv.Itoa(verbosity))
	klog.SetSlogLogger(l)
	return l
}
