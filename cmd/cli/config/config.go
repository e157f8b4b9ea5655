// Package config is `skiff config`: the decisions that a cluster keeps from its first start on.
package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/profile"
)

// setting is one decision. A setting without set can't be changed after the first start.
type setting struct {
	key, help string
	get       func(profile.Settings) string
	set       func(*profile.Settings, string) error
}

func settings() []setting {
	return []setting{
		{"api-port", "TCP port of the Kubernetes API on 127.0.0.1", func(s profile.Settings) string { return strconv.Itoa(s.APIPort) }, setPort},
		{"bind", "one more address that NodePorts and load balancers listen on", func(s profile.Settings) string { return s.Bind }, setBind},
		{"nodes", "how many nodes the one engine is shown as", func(s profile.Settings) string { return strconv.Itoa(s.Nodes) }, setNodes},
		{"subnet", "the network of pods and Services", func(s profile.Settings) string { return s.Subnet.String() }, nil},
		{"engine", "the engine's address; empty for docker's default", func(s profile.Settings) string { return s.Engine }, nil},
	}
}

func setPort(s *profile.Settings, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q is no TCP port", value)
	}
	s.APIPort, s.APIPortFixed = n, true
	return nil
}

func setNodes(s *profile.Settings, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > client.MaxNodes {
		return fmt.Errorf("%q is no number of nodes from 1 to %d", value, client.MaxNodes)
	}
	s.Nodes = n
	return nil
}

func setBind(s *profile.Settings, value string) error {
	if value != "" && net.ParseIP(value) == nil {
		return fmt.Errorf("%q is no IP address", value)
	}
	s.Bind = value
	return nil
}

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show or change what a cluster keeps from its first start on",
		Long: `Show or change the settings of the profile's cluster. A change takes effect at the next start. Variables of the
environment: SKIFF_HOME (folder of all clusters), SKIFF_PROFILE, KUBECONFIG, DOCKER_HOST, DOCKER_CONTEXT, NO_COLOR.`,
	}
	c.AddCommand(newListCmd(e), newGetCmd(e), newSetCmd(e))
	return c
}

func read(e *env.Env) (*profile.Profile, profile.Settings, error) {
	p, err := e.Profile()
	if err != nil {
		return nil, profile.Settings{}, err
	}
	s, ok, err := p.ReadSettings()
	if err == nil && !ok {
		err = exit.With(exit.NotRunning, fmt.Errorf("profile %q has no cluster yet", p.Name), e.Command("start")+" makes it, and takes these settings as flags")
	}
	return p, s, err
}

func newListCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"view"}, Short: "Show all settings", Args: cobra.NoArgs,
		Example: "  skiff config list",
		RunE: func(*cobra.Command, []string) error {
			_, s, err := read(e)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(e.IO.Out, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "SETTING\tVALUE\tMEANING")
			for _, k := range settings() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", k.key, k.get(s), k.help)
			}
			return w.Flush()
		},
	}
}

func newGetCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "get SETTING", Short: "Print one setting", Args: cobra.ExactArgs(1), ValidArgs: keys(),
		Example: "  skiff config get api-port",
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := find(args[0])
			if err != nil {
				return err
			}
			_, s, err := read(e)
			if err != nil {
				return err
			}
			fmt.Fprintln(e.IO.Out, k.get(s))
			return nil
		},
	}
}

func newSetCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "set SETTING VALUE", Short: "Change a setting for the next start", Args: cobra.ExactArgs(2), ValidArgs: keys(),
		Example: "  skiff config set nodes 3",
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := find(args[0])
			if err != nil {
				return err
			}
			if k.set == nil {
				return exit.With(exit.Usage, fmt.Errorf("%s can't change while the cluster exists", k.key), e.Command("delete")+", then "+e.Command("start"))
			}
			p, s, err := read(e)
			if err != nil {
				return err
			}
			if err := k.set(&s, args[1]); err != nil {
				return exit.With(exit.Usage, fmt.Errorf("set %s: %w", k.key, err), "")
			}
			if err := p.WriteSettings(s); err != nil {
				return exit.With(exit.Home, err, "")
			}
			when := "at the next start"
			if p.Running() {
				when = "after " + e.Command("stop --keep-pods") + " and " + e.Command("start")
			}
			fmt.Fprintf(e.IO.Out, "%s is %s %s\n", k.key, k.get(s), when)
			return nil
		},
	}
}

func keys() []string {
	var names []string
	for _, k := range settings() {
		names = append(names, k.key)
	}
	return names
}

func find(key string) (setting, error) {
	for _, k := range settings() {
		if k.key == key {
			return k, nil
		}
	}
	return setting{}, exit.With(exit.Usage, fmt.Errorf("there is no setting %q", key), "it is one of "+strings.Join(keys(), ", "))
}
