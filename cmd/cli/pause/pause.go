// Package pause is `skiff pause` and `skiff resume`: give the machine its CPU back for a while, and lose nothing.
package pause

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/stop"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

// stopTimeout is for a daemon that only has to let go. Chosen.
const stopTimeout = 30 * time.Second

// NewCmd returns `skiff pause`.
func NewCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "pause",
		Short: "Freeze the cluster: no CPU is used, memory stays",
		Long: `End the daemon and freeze every container of the profile where it is. Nothing is lost and nothing restarts: resume
goes on at the same instruction. Connections that wait may time out meanwhile.`,
		Example:           "  skiff pause\n  skiff resume",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := env.Interruptible(c.Context())
			defer cancel()
			p, err := e.Profile()
			if err != nil {
				return err
			}
			// The daemon goes first: it would see frozen containers fail their probes, and restart them.
			if _, err := stop.Stop(ctx, p, client.StopRequest{KeepPods: true}, false, stopTimeout); err != nil {
				return err
			}
			n, err := each(ctx, e, docker.StatusRunning, (*docker.Engine).PauseContainer)
			if err != nil {
				return err
			}
			if n == 0 {
				return nothingRuns(ctx, e, p)
			}
			fmt.Fprintf(e.IO.Out, "%s (profile %q); %s goes on\n", env.Count(n, "container is frozen", "containers are frozen"), p.Name, e.Command("resume"))
			return nil
		},
	}
}

// nothingRuns says why there was nothing to freeze.
func nothingRuns(ctx context.Context, e *env.Env, p *profile.Profile) error {
	left, err := env.LeftContainers(ctx, p)
	if err != nil {
		return err
	}
	if left != nil {
		fmt.Fprintf(e.IO.ErrOut, "it is paused already (profile %q); %s goes on\n", p.Name, e.Command("resume"))
		return nil
	}
	return exit.With(exit.NotRunning, fmt.Errorf("nothing runs that could be paused (profile %q)", p.Name), e.Command("start"))
}

// NewResumeCmd returns `skiff resume`.
func NewResumeCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:               "resume",
		Aliases:           []string{"unpause"},
		Short:             "Go on after skiff pause",
		Example:           "  skiff resume",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := env.Interruptible(c.Context())
			defer cancel()
			n, err := each(ctx, e, docker.StatusPaused, (*docker.Engine).UnpauseContainer)
			if err != nil {
				return err
			}
			if n == 0 {
				fmt.Fprintf(e.IO.ErrOut, "nothing is frozen (profile %q)\n", e.ProfileName)
				return nil
			}
			if _, err := e.Ensure(ctx); err != nil {
				return err
			}
			fmt.Fprintf(e.IO.Out, "%s on (profile %q)\n", env.Count(n, "container goes", "containers go"), e.ProfileName)
			return nil
		},
	}
}

// each does the same to every container of the profile that is in a state, and counts them.
func each(ctx context.Context, e *env.Env, in docker.ContainerStatus, do func(*docker.Engine, context.Context, string) error) (int, error) {
	p, err := e.Profile()
	if err != nil {
		return 0, err
	}
	engine, err := e.Engine(ctx)
	if err != nil {
		return 0, err
	}
	defer engine.Close()
	containers, err := engine.ListContainers(ctx, docker.ListOptions{Labels: docker.ProfileLabels(p.Name, "")})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range containers {
		if c.Status != in {
			continue
		}
		err := do(engine, ctx, c.ID)
		if errors.Is(err, docker.ErrNotFound) || errors.Is(err, docker.ErrConflict) {
			continue // it ended meanwhile
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
