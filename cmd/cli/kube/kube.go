// Package kube mounts kubectl's own verbs as verbs of skiff, so that a user without kubectl lacks nothing. The verbs
// are Kubernetes' code; what is ours is which cluster they talk to, and that only the verb that was called is built.
package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	utilcomp "k8s.io/kubectl/pkg/util/completion"
	"k8s.io/kubectl/pkg/util/templates"

	// Contexts of other clusters may log in through OIDC or a plugin.
	_ "k8s.io/client-go/plugin/pkg/client/auth"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/usage"
	"skiff.local/skiff/local/profile"
)

// Verb is a command that is built only when it is called.
type Verb struct {
	Name  string
	Short string
	// Build makes the command. The factory reaches the profile's cluster, or the one that --context names.
	Build func(cmdutil.Factory, genericiooptions.IOStreams) *cobra.Command
	// Hidden verbs work but are not listed.
	Hidden bool
	// Example is shown in the reference; kubectl's verbs bring their own with their help.
	Example string
	// Native verbs are skiff's own: what their RunE returns is an error like any other. kubectl's verbs report their
	// errors themselves, so that what their RunE returns is a mistake in the command line.
	Native bool
}

// GroupID is the group that Add puts the verbs in.
const GroupID = "kubernetes"

// Mount runs verbs on behalf of one command line.
type Mount struct {
	env *env.Env
	// Fatal ends the process after kubectl's code reported an error; code is kubectl's unless ours is more precise.
	fatal func(err error, code int)
	// leading are flags that the user wrote before the verb, as in `skiff -n web get pods`.
	leading []string
}

// New prepares the mounting of verbs. report is told an error of ours before the process exits.
func New(e *env.Env, report func(error) exit.Code) *Mount {
	return &Mount{env: e, fatal: func(err error, code int) {
		if err != nil {
			code = int(report(err))
		}
		os.Exit(code)
	}}
}

// AddLeadingFlags lets the flags that people write before the verb be written there. They must be local flags of a root
// that traverses its children.
func (m *Mount) AddLeadingFlags(root *cobra.Command) {
	flags := root.Flags()
	flags.StringP("namespace", "n", "", "")
	flags.String("context", "", "")
	flags.String("kubeconfig", "", "")
	flags.String("as", "", "")
	flags.String("request-timeout", "", "")
	flags.StringP("v", "v", "", "")
	for _, name := range []string{"namespace", "context", "kubeconfig", "as", "request-timeout", "v"} {
		_ = flags.MarkHidden(name)
	}
}

func (m *Mount) takeLeadingFlags(root *cobra.Command) {
	m.leading = nil
	for _, name := range []string{"namespace", "context", "kubeconfig", "as", "request-timeout", "v"} {
		if f := root.Flags().Lookup(name); f != nil && f.Changed {
			m.leading = append(m.leading, "--"+name+"="+f.Value.String())
		}
	}
}

// Stub is the light command that stands for v until it is called.
func (m *Mount) Stub(v Verb) *cobra.Command {
	stub := &cobra.Command{
		Use: v.Name, Short: v.Short, GroupID: GroupID, Hidden: v.Hidden, Example: v.Example,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			m.takeLeadingFlags(c.Root())
			return m.Run(c.Context(), v, args)
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			m.takeLeadingFlags(c.Root())
			return m.complete(c.Context(), v, append(args, toComplete))
		},
	}
	stub.SetHelpFunc(func(c *cobra.Command, _ []string) { _ = m.Run(c.Context(), v, []string{"--help"}) })
	return stub
}

// Run builds v and executes it with args.
func (m *Mount) Run(ctx context.Context, v Verb, args []string) error {
	root, getter := m.tree("skiff", "", v)
	err := m.execute(ctx, root, getter, append(append([]string{v.Name}, m.leading...), args...))
	var ours *exit.Error
	if err == nil || getter.err != nil || v.Native || errors.As(err, &ours) {
		return err
	}
	return exit.With(exit.Usage, err, "")
}

// Help builds v, and shows the help of the subcommand that path names.
func (m *Mount) Help(ctx context.Context, v Verb, path []string) error {
	return m.Run(ctx, v, append(slices.Clone(path), "--help"))
}

// Command builds v inside a root like the one it runs in, for documentation.
func (m *Mount) Command(v Verb) *cobra.Command {
	root, _ := m.tree("skiff", "", v)
	return root.Commands()[0]
}

func (m *Mount) execute(ctx context.Context, root *cobra.Command, g *getter, args []string) error {
	cmdutil.BehaviorOnFatal(func(message string, code int) {
		if g.err == nil && message != "" {
			fmt.Fprintln(m.env.IO.ErrOut, strings.TrimSuffix(message, "\n"))
		}
		m.fatal(g.err, code)
	})
	root.SetArgs(append([]string{}, args...)) // never nil: cobra would take the process's own
	return root.ExecuteContext(ctx)
}

// tree makes a root of its own for the verbs: kubectl's global flags would collide with skiff's (logs -p, patch -p).
func (m *Mount) tree(name, display string, verbs ...Verb) (*cobra.Command, *getter) {
	streams := genericiooptions.IOStreams{In: m.env.IO.In, Out: m.env.IO.Out, ErrOut: m.env.IO.ErrOut}
	warnings := rest.NewWarningWriter(streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true, Color: printers.AllowsColorOutput(streams.ErrOut)})
	warningsAsErrors := false
	root := &cobra.Command{
		Use:           name,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			rest.SetDefaultWarningHandler(warnings)
			return nil
		},
		PersistentPostRunE: func(*cobra.Command, []string) error {
			if n := warnings.WarningCount(); warningsAsErrors && n > 0 {
				return fmt.Errorf("%d warning(s) received", n)
			}
			return nil
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	if display != "" {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: display}
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetGlobalNormalizationFunc(cliflag.WordSepNormalizeFunc)

	flags := root.PersistentFlags()
	flags.BoolVar(&warningsAsErrors, "warnings-as-errors", false, "Treat warnings received from the server as errors and exit with a non-zero exit code")
	config := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams)
	config.AddFlags(flags)
	logs.AddFlags(flags)
	for _, f := range []string{"log-flush-frequency", "vmodule", "username", "password"} {
		_ = flags.MarkHidden(f)
	}
	g := &getter{ConfigFlags: config, flags: flags, env: m.env}
	match := cmdutil.NewMatchVersionFlags(g)
	match.AddFlags(flags)
	factory := cmdutil.NewFactory(match)
	utilcomp.SetFactoryForCompletion(factory)

	typed := display
	if typed == "" {
		typed = name
	}
	for _, v := range verbs {
		c := v.Build(factory, streams)
		if args := c.Args; v.Native && args != nil {
			c.Args = func(c *cobra.Command, given []string) error { return usage.Arguments(c, given, args) }
		}
		speakAs(typed, c)
		root.AddCommand(c)
	}
	addProfileFlag(m.env, root)
	root.AddCommand(optionsCommand())
	templates.ActsAsRootCommand(root, []string{"options"})
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exit.With(exit.Usage, err, "see `"+c.CommandPath()+" --help`")
	})
	_ = root.RegisterFlagCompletionFunc("namespace", func(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return utilcomp.CompGetResource(factory, "namespace", toComplete), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.RegisterFlagCompletionFunc("context", func(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return utilcomp.ListContextsInConfig(toComplete), cobra.ShellCompDirectiveNoFileComp
	})
	return root, g
}

// addProfileFlag adds --profile, and -p where the verbs leave it free.
func addProfileFlag(e *env.Env, root *cobra.Command) {
	short := "p"
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Flags().ShorthandLookup("p") != nil || c.PersistentFlags().ShorthandLookup("p") != nil {
			short = ""
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	value := e.ProfileName
	if value == "" {
		value = profile.DefaultName
	}
	root.PersistentFlags().VarP(&profileValue{env: e, shown: value}, "profile", short, "The skiff cluster to use")
}

// profileValue writes through to the environment, so that a --profile after the verb counts like one before it.
type profileValue struct {
	env   *env.Env
	shown string
}

func (p *profileValue) Set(s string) error { p.env.ProfileName, p.shown = s, s; return nil }
func (p *profileValue) String() string     { return p.shown }
func (p *profileValue) Type() string       { return "string" }

var _ pflag.Value = &profileValue{}

// optionsCommand is what the verbs' help refers to for the flags they share.
func optionsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "options", Short: "Print the list of flags inherited by all commands", Hidden: true,
		Run: func(c *cobra.Command, _ []string) { _ = c.Usage() },
	}
	templates.UseOptionsTemplates(c)
	return c
}

// complete asks the real verb for completions. It never starts a cluster: a key press must not.
func (m *Mount) complete(ctx context.Context, v Verb, args []string) ([]string, cobra.ShellCompDirective) {
	out := &bytes.Buffer{}
	root, g := m.tree("skiff", "", v)
	return m.completions(ctx, root, g, out, append(append([]string{v.Name}, m.leading...), args...))
}

func (m *Mount) completions(ctx context.Context, root *cobra.Command, g *getter, out *bytes.Buffer, args []string) ([]string, cobra.ShellCompDirective) {
	g.connectOnly = true
	root.SetOut(out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, args...))
	if err := root.ExecuteContext(ctx); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	directive := cobra.ShellCompDirectiveDefault
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if n, ok := strings.CutPrefix(line, ":"); ok {
			if d, err := strconv.Atoi(n); err == nil {
				directive = cobra.ShellCompDirective(d)
			}
			continue
		}
		if line != "" {
			found = append(found, line)
		}
	}
	return found, directive
}
