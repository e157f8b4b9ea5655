// Package profiles is `skiff profile`: the clusters side by side on one engine.
package profiles

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/profile"
)

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "profile",
		Short: "List clusters, or choose the one that verbs use",
		Long: `A profile is a cluster of its own: its objects, network, volumes and context. Any verb takes one with
-p/--profile; SKIFF_PROFILE and skiff profile use choose one for all verbs.`,
		Aliases: []string{"profiles"},
	}
	c.AddCommand(newListCmd(e), newUseCmd(e))
	return c
}

// row is one profile of the list.
type row struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	Running bool   `json:"running"`
	Paused  bool   `json:"paused"`
	Context string `json:"context"`
	URL     string `json:"url,omitempty"`
}

func newListCmd(e *env.Env) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the clusters", Args: cobra.NoArgs,
		Example:           "  skiff profile list",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			rows, err := gather(e)
			if err != nil {
				return err
			}
			if err := findPaused(c.Context(), e, rows); err != nil {
				return err
			}
			if output == "json" {
				raw, err := json.MarshalIndent(rows, "", "  ")
				if err != nil {
					return err
				}
				fmt.Fprintln(e.IO.Out, string(raw))
				return nil
			}
			if output != "" {
				return exit.With(exit.Usage, fmt.Errorf("unknown output format %q", output), "use -o json, or leave it out")
			}
			show(e, rows)
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "Output format: json")
	return c
}

func gather(e *env.Env) ([]row, error) {
	home, err := e.Home()
	if err != nil {
		return nil, err
	}
	names, err := profile.List(home)
	if err != nil {
		return nil, err
	}
	rows := []row{}
	for _, name := range names {
		p, err := profile.Open(home, name)
		if err != nil {
			return nil, err
		}
		r := row{Name: name, Current: name == e.ProfileName, Running: p.Running(), Context: p.Context()}
		if d, ok, err := p.ReadDaemon(); err == nil && ok && r.Running {
			r.URL = d.URL
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// findPaused asks the engines about the clusters that don't run.
func findPaused(ctx context.Context, e *env.Env, rows []row) error {
	home, err := e.Home()
	if err != nil {
		return err
	}
	for i := range rows {
		if rows[i].Running {
			continue
		}
		p, err := profile.Open(home, rows[i].Name)
		if err != nil {
			return err
		}
		left := env.GlanceAtLeft(ctx, p)
		rows[i].Paused = left != nil && left.Paused > 0
	}
	return nil
}

func show(e *env.Env, rows []row) {
	if len(rows) == 0 {
		fmt.Fprintln(e.IO.ErrOut, "there is no cluster yet; make one with `skiff start`")
		return
	}
	w := tabwriter.NewWriter(e.IO.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "CURRENT\tNAME\tSTATE\tCONTEXT\tAPI")
	for _, r := range rows {
		mark, state := "", "stopped"
		if r.Current {
			mark = "*"
		}
		switch {
		case r.Running:
			state = "running"
		case r.Paused:
			state = "paused"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", mark, r.Name, state, r.Context, r.URL)
	}
	_ = w.Flush()
}

func newUseCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Choose the cluster that verbs and kubectl use", Args: cobra.ExactArgs(1),
		Long: `Make a cluster the one that every verb uses, and its context the current one of the kubeconfig. SKIFF_PROFILE and
--profile still win. A profile that doesn't exist yet is made by the next skiff start.`,
		Example: "  skiff profile use blue\n  skiff profile use skiff",
		RunE: func(_ *cobra.Command, args []string) error {
			e.ProfileName = args[0]
			p, err := e.Profile()
			if err != nil {
				return err
			}
			home, err := e.Home()
			if err != nil {
				return err
			}
			if err := env.UseProfile(home, p.Name); err != nil {
				return exit.With(exit.Home, err, "set "+profile.EnvHome+" to a folder you can write to")
			}
			if name := os.Getenv(profile.EnvProfile); name != "" && name != p.Name {
				fmt.Fprintf(e.IO.ErrOut, "%s %s=%s is set in this shell, and wins until you unset it\n", e.IO.ErrColours().Yellow("warning:"), profile.EnvProfile, name)
			}
			if !p.Exists() {
				fmt.Fprintf(e.IO.Out, "verbs use profile %q from now on; it has no cluster yet: skiff start makes it\n", p.Name)
				return nil
			}
			creds, err := p.ReadCredentials()
			if err != nil {
				return err
			}
			name, path, err := p.MergeKubeconfig(creds, true)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.IO.Out, "verbs use profile %q from now on; context %q is current in %s\n", p.Name, name, path)
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			rows, err := gather(e)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			var names []string
			for _, r := range rows {
				names = append(names, r.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
