// Package version is `skiff version`: what runs here, in the daemon, and below it.
package version

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	kubeversion "k8s.io/component-base/version"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
)

// report is the shape of -o json.
type report struct {
	Client side             `json:"client"`
	Daemon *client.Versions `json:"daemon,omitempty"`
	// Skew says what differs and what to do about it; empty when nothing does.
	Skew string `json:"skew,omitempty"`
}

type side struct {
	Skiff      string `json:"skiff"`
	Kubernetes string `json:"kubernetes"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
}

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	var output string
	var clientOnly bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of skiff, the daemon, Kubernetes and the engine",
		Example: `  skiff version
  skiff version --client
  skiff version -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return exit.With(exit.Usage, fmt.Errorf("unknown output format %q", output), "use -o json, or leave it out")
			}
			return print(e, gather(c.Context(), e, clientOnly), output == "json")
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().StringVarP(&output, "output", "o", "", "Output format: json")
	c.Flags().BoolVar(&clientOnly, "client", false, "Do not ask the daemon")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// gather never starts a daemon: asking for versions must not.
func gather(ctx context.Context, e *env.Env, clientOnly bool) report {
	r := report{Client: side{Skiff: e.Version, Kubernetes: kubeversion.Get().GitVersion, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}}
	if clientOnly {
		return r
	}
	cluster, err := e.Connect()
	if err != nil {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, err := cluster.Status(ctx)
	if err != nil {
		return r
	}
	r.Daemon = &status.Versions
	if status.Versions.Skiff != e.Version {
		r.Skew = fmt.Sprintf("the daemon is %s and this is %s: %s, then %s", status.Versions.Skiff, e.Version, e.Command("stop --keep-pods"), e.Command("start"))
	}
	return r
}

func print(e *env.Env, r report, asJSON bool) error {
	if asJSON {
		raw, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.IO.Out, string(raw))
		return err
	}
	out := e.IO.Out
	fmt.Fprintf(out, "skiff       %s (%s, %s)\n", r.Client.Skiff, r.Client.Platform, r.Client.Go)
	fmt.Fprintf(out, "Kubernetes  %s\n", r.Client.Kubernetes)
	switch d := r.Daemon; {
	case d != nil:
		fmt.Fprintf(out, "daemon      %s (Kubernetes %s)\n", d.Skiff, d.Kubernetes)
		if d.Engine != "" {
			fmt.Fprintf(out, "engine      Docker %s (API %s)\n", d.Engine, d.EngineAPI)
		}
	default:
		fmt.Fprintf(out, "daemon      not running\n")
	}
	if r.Skew != "" {
		fmt.Fprintf(e.IO.ErrOut, "%s %s\n", e.IO.ErrColours().Yellow("warning:"), r.Skew)
	}
	return nil
}
