// Package cli is skiff's command line: the root command, and what becomes of a verb's error. The verbs are packages
// below it, one each.
package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/answers"
	"skiff.local/skiff/cmd/cli/apply"
	"skiff.local/skiff/cmd/cli/completion"
	"skiff.local/skiff/cmd/cli/config"
	"skiff.local/skiff/cmd/cli/daemon"
	"skiff.local/skiff/cmd/cli/delete"
	"skiff.local/skiff/cmd/cli/docs"
	"skiff.local/skiff/cmd/cli/doctor"
	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/image"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/cmd/cli/kube"
	"skiff.local/skiff/cmd/cli/logs"
	"skiff.local/skiff/cmd/cli/new"
	"skiff.local/skiff/cmd/cli/outgrow"
	"skiff.local/skiff/cmd/cli/pause"
	"skiff.local/skiff/cmd/cli/profiles"
	"skiff.local/skiff/cmd/cli/service"
	"skiff.local/skiff/cmd/cli/shell"
	"skiff.local/skiff/cmd/cli/start"
	"skiff.local/skiff/cmd/cli/status"
	"skiff.local/skiff/cmd/cli/stop"
	"skiff.local/skiff/cmd/cli/trust"
	"skiff.local/skiff/cmd/cli/up"
	"skiff.local/skiff/cmd/cli/updatecontext"
	"skiff.local/skiff/cmd/cli/usage"
	"skiff.local/skiff/cmd/cli/version"
	"skiff.local/skiff/cmd/cli/why"
	"skiff.local/skiff/local/profile"
)

// The groups of the root's help.
const (
	groupCluster = "cluster"
	groupWork    = "work"
	groupSkiff   = "skiff"
)

// Main runs the command line and returns the process's exit code.
func Main(args []string, skiffVersion string) int {
	e := &env.Env{IO: iostreams.System(), Version: skiffVersion, ProfileName: env.DefaultProfile()}
	root := NewRoot(e)
	root.SetArgs(args)
	return int(Report(e, root.ExecuteContext(context.Background())))
}

// NewRoot assembles all verbs.
func NewRoot(e *env.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "skiff",
		Short: "Kubernetes on the Docker Engine you already have",
		Long: `skiff is a local Kubernetes on the Docker Engine you already have: no VM, no node image, nothing to load
or push. What docker build made is what a pod runs, and every NodePort answers on localhost.

  skiff start                   start the cluster
  skiff up k8s/                 apply a directory and keep applying what you save
  skiff status                  what runs, where it answers, what is not well
  kubectl get pods              any Kubernetes client works: the context is "skiff"`,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		// Flags before the verb are the root's, so that -p means the profile there and what kubectl means after it.
		TraverseChildren: true,
		Args:             cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(c, args[0])
			}
			return c.Help()
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(e.IO.In)
	root.SetOut(e.IO.Out)
	root.SetErr(e.IO.ErrOut)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exit.With(exit.Usage, err, "see `"+c.CommandPath()+" --help`")
	})
	root.PersistentFlags().StringVarP(&e.ProfileName, "profile", "p", e.ProfileName, "The cluster to use (env SKIFF_PROFILE)")
	_ = root.RegisterFlagCompletionFunc("profile", completeProfiles(e))
	root.AddGroup(
		&cobra.Group{ID: groupCluster, Title: "The cluster:"},
		&cobra.Group{ID: groupWork, Title: "Your work in it:"},
		&cobra.Group{ID: groupSkiff, Title: "skiff itself:"},
		&cobra.Group{ID: kube.GroupID, Title: "kubectl's verbs:"},
	)

	mount := kube.New(e, func(err error) exit.Code { return Report(e, err) })
	mount.AddLeadingFlags(root)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupCluster,
		start.NewCmd(e),
		stop.NewCmd(e),
		status.NewCmd(e),
		delete.NewCmd(e, func(ctx context.Context, args []string) error { return mount.Run(ctx, kube.Delete(), args) }),
	)
	for _, v := range native(e) {
		add(groupWork, mount.Stub(v))
	}
	add(groupWork,
		service.NewCmd(e),
		service.NewOpenCmd(e),
	)
	add(groupCluster,
		pause.NewCmd(e),
		pause.NewResumeCmd(e),
		profiles.NewCmd(e),
		config.NewCmd(e),
		updatecontext.NewCmd(e),
	)
	add(groupWork, image.NewCmd(e), new.NewCmd(e), shell.NewCmd(e))
	add(groupSkiff, answers.NewCmds(e)...)
	add(groupSkiff,
		version.NewCmd(e),
		completion.NewCmd(e),
		daemon.NewCmd(e),
		doctor.NewCmd(e),
		trust.NewCmd(e),
		docs.NewCmd(e, Built(e)),
	)
	for _, v := range kube.Verbs() {
		root.AddCommand(mount.Stub(v))
	}
	root.AddCommand(mount.Passthrough(), mount.Options())
	root.SetHelpCommand(helpCommand(mount))
	refuseWhatIsNotThere(root)
	return root
}

// native are skiff's own verbs that are mounted beside kubectl's: they take the same flags to name a cluster.
func native(e *env.Env) []kube.Verb {
	verbs := []kube.Verb{up.Verb(e), apply.Verb(e), outgrow.Verb(e), logs.Verb(e), why.Verb(e)}
	for i := range verbs {
		verbs[i].Native = true
	}
	return verbs
}

// Built returns the real command of a mounted verb of ours, for the reference.
func Built(e *env.Env) func(name string) *cobra.Command {
	return func(name string) *cobra.Command {
		for _, v := range native(e) {
			if v.Name == name {
				return kube.New(e, nil).Command(v)
			}
		}
		return nil
	}
}

// Report says what went wrong and what to try next, and returns the code to exit with.
func Report(e *env.Env, err error) exit.Code {
	code, message, hint := exit.Of(err)
	if message != "" {
		fmt.Fprintf(e.IO.ErrOut, "%s %s\n", e.IO.ErrColours().Red("error:"), message)
	}
	if hint != "" {
		fmt.Fprintf(e.IO.ErrOut, "%s %s\n", e.IO.ErrColours().Cyan("try:"), hint)
	}
	return code
}

func unknownVerb(parent *cobra.Command, verb string) error {
	path := parent.CommandPath()
	hint := "see `" + path + " --help`"
	if names := parent.SuggestionsFor(verb); len(names) > 0 {
		hint = "did you mean `" + path + " " + strings.Join(names, "` or `"+path+" ") + "`?"
	}
	kind := "verb"
	if parent.Name() == "new" {
		kind = "template"
	}
	return exit.With(exit.Usage, fmt.Errorf("%s has no %s %q", path, kind, verb), hint)
}

// refuseWhatIsNotThere gives every verb below parent the code and the next step of a mistyped command line. A verb that
// only holds others refuses what it doesn't hold; cobra would show its help, and succeed.
func refuseWhatIsNotThere(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		switch args := c.Args; {
		case c.HasSubCommands() && !c.Runnable():
			c.Args, c.RunE = cobra.ArbitraryArgs, parent.Root().RunE
			c.SuggestionsMinimumDistance = 2
		case args != nil:
			c.Args = func(c *cobra.Command, given []string) error {
				return usage.Arguments(c, given, args)
			}
		}
		refuseWhatIsNotThere(c)
	}
}

// helpCommand is cobra's `help VERB`, but it knows the subcommands of verbs that are built only when they are called.
func helpCommand(mount *kube.Mount) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Show the help of a verb",
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, sub := range c.Root().Commands() {
				if len(args) == 0 && sub.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			if len(args) == 0 {
				return root.Help()
			}
			for _, v := range kube.Verbs() {
				if v.Name == args[0] {
					return mount.Help(c.Context(), v, args[1:])
				}
			}
			found, rest, err := root.Find(args)
			if err != nil || found == root || len(rest) > 0 {
				return unknownVerb(root, args[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

func completeProfiles(e *env.Env) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		home, err := profile.Home()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		names, err := profile.List(home)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
