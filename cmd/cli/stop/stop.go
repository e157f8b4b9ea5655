// Package stop is `skiff stop`: end the cluster and keep what it has.
package stop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

type options struct {
	env     *env.Env
	request client.StopRequest
	force   bool
	timeout time.Duration
}

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	o := &options{env: e}
	c := &cobra.Command{
		Use:   "stop",
		Short: "Stop the cluster and keep everything it has",
		Long: `Stop the pods' containers, the network and the daemon of the profile. Objects, volumes and the context
in the kubeconfig stay; skiff start brings it all back.

With --keep-pods only the daemon ends: the containers run on and the next start adopts them.`,
		Example: `  skiff stop
  skiff stop --keep-pods`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			return run(ctx, o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := c.Flags()
	f.BoolVar(&o.request.KeepPods, "keep-pods", false, "Leave the pods' containers running")
	f.BoolVar(&o.request.Now, "now", false, "Kill containers instead of waiting for their grace periods")
	f.BoolVar(&o.force, "force", false, "Kill a daemon that does not answer; its containers run on until the next start or delete")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "How long to wait for the containers to end")
	return c
}

func run(ctx context.Context, o *options) error {
	p, err := o.env.Profile()
	if err != nil {
		return err
	}
	begin := time.Now()
	stopped, err := Stop(ctx, p, o.request, o.force, o.timeout)
	if err != nil {
		return err
	}
	if !stopped && !o.request.KeepPods {
		if stopped, err = o.leftBehind(ctx, p); err != nil {
			return err
		}
	}
	if !stopped {
		fmt.Fprintf(o.env.IO.ErrOut, "skiff is not running (profile %q)\n", p.Name)
		return nil
	}
	what := "skiff stopped"
	if o.request.KeepPods {
		what = "the daemon ended, and pods run on,"
	}
	fmt.Fprintf(o.env.IO.Out, "%s in %s (profile %q)\n", what, env.Duration(time.Since(begin)), p.Name)
	return nil
}

// leftBehind stops the containers of a cluster whose daemon is gone: it was killed, paused or stopped alone. Only a daemon
// ends them in order, so one is started for it. It returns false when nothing runs.
func (o *options) leftBehind(ctx context.Context, p *profile.Profile) (bool, error) {
	if !p.Exists() {
		return false, nil
	}
	left, err := env.LeftContainers(ctx, p)
	if errors.Is(err, docker.ErrNoEngine) {
		return false, nil // nothing of the cluster runs
	}
	if err != nil || left == nil {
		return false, err
	}
	fmt.Fprintf(o.env.IO.ErrOut, "the daemon is gone, and %s of profile %q: starting it to stop them\n",
		env.Count(left.Running+left.Paused, "container is left", "containers are left"), p.Name)
	if _, err := client.Ensure(ctx, p, client.StartOptions{Version: o.env.Version, WaitDNS: true}, nil); err != nil {
		return false, err
	}
	return Stop(ctx, p, o.request, o.force, o.timeout)
}

// Stop ends the profile's daemon; it returns false when none ran. With force, a daemon that doesn't answer is killed.
func Stop(ctx context.Context, p *profile.Profile, r client.StopRequest, force bool, timeout time.Duration) (bool, error) {
	if !p.Running() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := client.Connect(p)
	if err == nil {
		err = c.Stop(ctx, r)
	}
	switch {
	case err == nil:
		return true, nil
	case !p.Running():
		return true, nil // it ended while we asked
	case force && !errors.Is(err, context.Canceled):
		pid := 0
		if c != nil {
			pid = c.Daemon.PID // a daemon that hangs while it ends has taken its file away already
		}
		return true, kill(p, pid)
	case errors.Is(err, context.DeadlineExceeded):
		return false, exit.With(exit.Timeout, fmt.Errorf("stop profile %q: its containers did not end within %s", p.Name, timeout),
			"`skiff stop --now` kills them, `skiff stop --force` kills the daemon")
	}
	return false, err
}

// kill ends the process that the daemon's file names. The lock proves that a daemon runs; that it is this process is
// what the daemon wrote when it took the lock.
func kill(p *profile.Profile, pid int) error {
	d, ok, err := p.ReadDaemon()
	if err != nil {
		return err
	}
	if !ok {
		d.PID = pid
	}
	if d.PID == 0 {
		return fmt.Errorf("stop profile %q: a daemon holds the lock, but its process id is not known", p.Name)
	}
	process, err := os.FindProcess(d.PID)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		return fmt.Errorf("kill the daemon (pid %d): %w", d.PID, err)
	}
	for deadline := time.Now().Add(10 * time.Second); p.Running(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return exit.With(exit.Timeout, fmt.Errorf("the daemon (pid %d) was killed but its lock is still held", d.PID), "")
		}
	}
	return nil
}
