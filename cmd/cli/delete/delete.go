// Package delete is `skiff delete`: with arguments it is kubectl's verb, without any it removes the cluster and every
// trace of it.
package delete

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"skiff.local/skiff/cmd/cli/daemon"
	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/stop"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

type options struct {
	env *env.Env
	yes bool
	all bool
	// profile is read here, because the flags are parsed here.
	profile string
	help    bool
}

// NewCmd returns the verb. objects runs kubectl's delete with the arguments.
func NewCmd(e *env.Env, objects func(ctx context.Context, args []string) error) *cobra.Command {
	o := &options{env: e}
	c := &cobra.Command{
		Use:   "delete [KUBECTL ARGUMENTS]",
		Short: "Delete the cluster; with arguments, delete objects in it",
		Long: `Without arguments: delete the cluster of the profile with its containers, network, volumes, state and
kubeconfig context. Nothing of it is left. On a terminal it asks first.

With a resource, a file or a directory: kubectl's delete (skiff kubectl delete --help).`,
		Example: `  skiff delete
  skiff delete -p blue --yes
  skiff delete --all-profiles
  skiff delete pod web-0
  skiff delete -f a.yaml -f b.yaml`,
		DisableFlagParsing: true,
	}
	flags := o.flags()
	c.Flags().AddFlagSet(flags)
	c.RunE = func(c *cobra.Command, args []string) error {
		if o.meansObjects(args) {
			return objects(c.Context(), args)
		}
		if o.help {
			return c.Help()
		}
		if o.profile != "" {
			e.ProfileName = o.profile
		}
		ctx, stop := env.Interruptible(c.Context())
		defer stop()
		return o.run(ctx)
	}
	return c
}

func (o *options) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("delete", pflag.ContinueOnError)
	f.BoolVarP(&o.yes, "yes", "y", false, "Do not ask")
	f.BoolVar(&o.all, "all-profiles", false, "Delete every cluster, not only the one of the profile")
	return f
}

// meansObjects tells whether args are for kubectl: whatever our own few flags don't explain is.
func (o *options) meansObjects(args []string) bool {
	f := o.flags()
	f.SetOutput(discard{})
	f.StringVarP(&o.profile, "profile", "p", "", "")
	f.BoolVarP(&o.help, "help", "h", false, "")
	return f.Parse(args) != nil || f.NArg() > 0
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (o *options) run(ctx context.Context) error {
	p, err := o.env.Profile()
	if err != nil {
		return err
	}
	profiles := []*profile.Profile{p}
	if o.all {
		if profiles, err = o.everyProfile(); err != nil {
			return err
		}
	}
	if len(profiles) == 0 {
		fmt.Fprintln(o.env.IO.ErrOut, "there is no cluster to delete")
		return nil
	}
	if !o.yes && o.env.IO.IsInTTY() && !o.confirm(profiles) {
		return exit.With(exit.General, fmt.Errorf("nothing was deleted"), "")
	}
	for _, p := range profiles {
		if err := o.one(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) everyProfile() ([]*profile.Profile, error) {
	home, err := o.env.Home()
	if err != nil {
		return nil, err
	}
	names, err := profile.List(home)
	if err != nil {
		return nil, err
	}
	var all []*profile.Profile
	for _, name := range names {
		p, err := profile.Open(home, name)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (o *options) confirm(profiles []*profile.Profile) bool {
	var names []string
	for _, p := range profiles {
		names = append(names, p.Name)
	}
	return o.env.IO.Confirm(fmt.Sprintf("Delete %s with all objects and volumes?", strings.Join(names, ", ")))
}

// one removes a profile in the order in which a failure leaves something that a second delete can finish: the daemon,
// what the engine holds, the kubeconfig entry, and the folder last.
func (o *options) one(ctx context.Context, p *profile.Profile) error {
	begin, existed := time.Now(), p.Exists()
	// First: its service manager would start the daemon again.
	if _, err := daemon.Uninstall(ctx, p); err != nil {
		return err
	}
	if _, err := stop.Stop(ctx, p, client.StopRequest{Now: true}, true, time.Minute); err != nil {
		return err
	}
	release, err := p.Lock()
	if err != nil {
		return err
	}
	defer release()
	settings, _, err := p.ReadSettings()
	if err != nil {
		settings = profile.Settings{} // damaged: all the more reason to delete it
	}
	removed, err := o.cleanEngine(ctx, p, settings.Engine)
	if err != nil {
		return exit.With(codeOf(err), fmt.Errorf("delete profile %q: %w", p.Name, err),
			"its folder "+p.Dir+" is kept, so that `"+o.env.Command("delete")+"` can finish when the engine answers again")
	}
	if err := p.RemoveFromKubeconfig(); err != nil {
		return err
	}
	if err := p.Remove(); err != nil {
		return err
	}
	if !existed && removed == (Removed{}) {
		fmt.Fprintf(o.env.IO.ErrOut, "there is no cluster to delete (profile %q)\n", p.Name)
		return nil
	}
	fmt.Fprintf(o.env.IO.Out, "profile %q is deleted: %s, its state and its context (%s)\n", p.Name, removed, env.Duration(time.Since(begin)))
	if removed.Held > 0 {
		fmt.Fprintf(o.env.IO.ErrOut, "the network %s is still there: the Docker Engine has lost count of its containers. The next cluster of this name uses it; to be rid of it, restart the engine, then `docker network rm %[1]s`\n", docker.NetworkName(p.Name))
	}
	return nil
}

func codeOf(err error) exit.Code {
	code, _, _ := exit.Of(err)
	return code
}

func (o *options) cleanEngine(ctx context.Context, p *profile.Profile, host string) (Removed, error) {
	engine, err := docker.Connect(ctx, docker.Options{Host: host})
	if err != nil {
		return Removed{}, err
	}
	defer engine.Close()
	_, err = network.Existing(ctx, engine, p.Name, p.Dir)
	if errors.Is(err, network.ErrOwned) {
		return Removed{}, nil // what the engine has of this name is another cluster's
	}
	if err != nil {
		return Removed{}, err
	}
	return Clean(ctx, engine, p.Name)
}
