// Package start is `skiff start`: bring the profile's cluster up and tell kubectl about it.
package start

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

type options struct {
	env *env.Env
	client.StartOptions
	keepContext bool
	quiet       bool
}

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	o := &options{env: e}
	c := &cobra.Command{
		Use:   "start",
		Short: "Start the cluster, or do nothing when it runs",
		Long: `Start the cluster of the profile on the Docker Engine that docker itself would use, and put its
context into the kubeconfig that kubectl would write.

It returns when the API is ready, the cluster's DNS answers and localhost's ports of what the cluster has are open;
--wait=false returns at API ready.
A cluster that was stopped comes back with everything it had, at the same port.`,
		Example: `  skiff start
  skiff start -p blue --nodes 3
  skiff start --wait=false --keep-context`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			return run(ctx, o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := c.Flags()
	f.BoolVar(&o.WaitDNS, "wait", true, "Wait until the cluster's DNS answers and localhost's ports are open, not only its API")
	f.BoolVar(&o.keepContext, "keep-context", false, "Leave the kubeconfig's current context as it is")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Print nothing unless something fails")
	f.IntVar(&o.APIPort, "api-port", 0, "TCP port of the Kubernetes API on 127.0.0.1 (default: the one it had, or a free one)")
	f.StringVar(&o.Subnet, "subnet", "", "The /16 of pods and Services, e.g. 10.99.0.0/16 (default: one that overlaps no route; first start only)")
	f.IntVar(&o.Nodes, "nodes", 0, "How many nodes to show the one engine as (default 1)")
	f.StringVar(&o.Bind, "bind", "", "One more address that NodePorts and load balancers listen on, besides loopback")
	f.BoolVar(&o.Restore, "restore", false, "Put back the last good copy of a damaged store first; what came after the copy is lost")
	f.IntVar(&o.Verbosity, "verbosity", 0, "How much the daemon logs (0 to 9)")
	return c
}

func run(ctx context.Context, o *options) error {
	p, err := o.env.Profile()
	if err != nil {
		return err
	}
	o.Version, o.Probe = o.env.Version, true
	begin := time.Now()
	progress := newProgress(o.env.IO, o.quiet)
	c, err := client.Ensure(ctx, p, o.StartOptions, progress.event)
	if err != nil {
		progress.abandon()
		return err
	}
	if c, err = o.env.ReplaceOlder(ctx, p, c, o.StartOptions); err != nil {
		return err
	}
	if !c.Started {
		o.warnOfIgnored(p)
	}
	name, path, err := p.MergeKubeconfig(c.Credentials(), !o.keepContext)
	if err != nil {
		return err
	}
	if o.quiet {
		return nil
	}
	colours := o.env.IO.Colours()
	if c.Started {
		fmt.Fprintf(o.env.IO.Out, "%s in %s: %s\n", colours.Bold(ready(o)), env.Duration(time.Since(begin)), c.Daemon.URL)
	} else {
		fmt.Fprintf(o.env.IO.Out, "%s since %s (pid %d): %s\n", colours.Bold("skiff runs"), age(c.Daemon), c.Daemon.PID, c.Daemon.URL)
	}
	state := "current"
	if o.keepContext {
		state = "added"
	}
	fmt.Fprintf(o.env.IO.Out, "context %q is %s in %s\n", name, state, path)
	return nil
}

// warnOfIgnored tells which flags came too late: a cluster takes them when it starts.
func (o *options) warnOfIgnored(p *profile.Profile) {
	settings, ok, err := p.ReadSettings()
	if err != nil || !ok {
		return // it is said where it matters
	}
	if late := o.Differing(settings); len(late) > 0 {
		flags, end := strings.Join(late, " "), "stop --keep-pods"
		if o.Subnet != "" && o.Subnet != settings.Subnet.String() {
			end = "delete" // the only setting that a cluster keeps for life
		}
		fmt.Fprintf(o.env.IO.ErrOut, "%s the cluster runs already, so %s has no effect; %s, then %s\n",
			o.env.IO.ErrColours().Yellow("warning:"), flags, o.env.Command(end), o.env.Command("start "+flags))
	}
}

func ready(o *options) string {
	if o.WaitDNS {
		return "skiff is ready"
	}
	return "skiff's API is ready"
}

func age(d profile.Daemon) string {
	return time.Since(d.Started).Round(time.Second).String()
}
