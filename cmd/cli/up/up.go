// Package up is `skiff up`: apply manifests and keep applying what is saved, in the foreground or by the daemon. The
// work is done by package watch; this one parses, connects, and draws what the set says.
package up

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/kube"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/source"
)

const long = `Apply manifests, and keep applying what you save.

Sources are files and directories (with everything below them, minus what .gitignore and .skiffignore list), kustomizations
and Helm charts. A save is applied at once; what leaves the sources is pruned; a file that can't be read is reported
with line and column and changes nothing until it is repaired. Ctrl-C ends the watch and leaves everything running.
What is piped in, as "-", is applied once.

What a set applied is remembered in the cluster, so a restart or another terminal goes on where the last one ended.
PersistentVolumeClaims, Namespaces and CustomResourceDefinitions are only pruned with --prune=all.`

const examples = `  # Apply a directory and keep applying what is saved in it
  skiff up k8s/

  # Let the daemon watch it, and end that later
  skiff up -d k8s/
  skiff up --stop k8s/

  # Apply once, and show the differences first
  skiff up --once --diff k8s/

  # Build images from the Dockerfiles beside the manifests, and again on every save of their sources
  skiff up --build .

  # Apply what another program writes, once
  kustomize build overlays/dev | skiff up -

  # A chart with values of your own
  skiff up charts/web --values dev.yaml

  # The same loop against another cluster
  skiff up k8s/ --context staging`

// Options are what the flags say.
type Options struct {
	Env     *env.Env
	Sources []source.Source

	Background   bool
	Stop         bool
	Once         bool
	DryRun       bool
	Diff         bool
	Yes          bool
	Output       string
	Prune        string
	Set          string
	TakeOver     bool
	RollOnConfig bool
	Poll         bool
	Build        bool
	Values       []string
	// Images replaces images by others.
	Images map[string]string

	// piped is the directory that standard input was written to, "" if it was not.
	piped string

	// Target reaches the cluster; it is called only when it is needed.
	Target func() (Target, error)
}

// Target is the cluster that objects go to.
type Target struct {
	REST *rest.Config
	// Name is what people call it.
	Name      string
	Namespace string
	// Ours says that it is skiff's own cluster, which needs no asking.
	Ours bool
}

// Verb is `skiff up`, mounted like kubectl's verbs so that --context, --namespace and the others mean the same.
func Verb(e *env.Env) kube.Verb {
	return kube.Verb{Name: "up", Short: "Apply manifests and keep applying what you save",
		Build: func(f cmdutil.Factory, _ genericiooptions.IOStreams) *cobra.Command { return newCmd(e, f) }}
}

func newCmd(e *env.Env, f cmdutil.Factory) *cobra.Command {
	o := &Options{Env: e}
	c := &cobra.Command{
		Use:                   "up [-d] PATH... [flags]",
		DisableFlagsInUseLine: true,
		Short:                 "Apply manifests and keep applying what you save",
		Long:                  long,
		Example:               examples,
		RunE: func(c *cobra.Command, args []string) error {
			defer o.dropInput()
			if err := o.complete(args); err != nil {
				return err
			}
			o.Target = func() (Target, error) { return TargetOf(e, c, f) }
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			return Run(ctx, o)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	AddFlags(c, o)
	flags := c.Flags()
	flags.BoolVarP(&o.Background, "detach", "d", false, "Let the daemon watch: apply once, print what happened, and return")
	flags.BoolVar(&o.Stop, "stop", false, "End the daemon's watch of these sources; what was applied stays")
	flags.BoolVar(&o.Once, "once", false, "Apply what is there and return")
	flags.BoolVar(&o.DryRun, "dry-run", false, "Ask the server what would happen, and change nothing")
	return c
}

// AddFlags adds the flags that `skiff apply --watch` shares.
func AddFlags(c *cobra.Command, o *Options) {
	flags := c.Flags()
	flags.StringVarP(&o.Output, "output", "o", "", "Output format: text, or json for one event per line")
	flags.BoolVar(&o.Diff, "diff", false, "Show what would change first, and ask on a terminal")
	flags.BoolVarP(&o.Yes, "yes", "y", false, "Answer yes to every question")
	flags.StringVar(&o.Prune, "prune", string(watch.PruneSafe), "What to remove when it leaves the sources: safe (all but volumes, namespaces and kinds), all, none")
	flags.Lookup("prune").NoOptDefVal = string(watch.PruneSafe)
	flags.StringVar(&o.Set, "set", "", "Name of the set; sets of the same name in a namespace are one (default: made of the paths)")
	flags.BoolVar(&o.TakeOver, "take-over", false, "Take objects away from other sets")
	flags.BoolVar(&o.RollOnConfig, "roll-on-config", false, "Replace pods when a ConfigMap or Secret that they use changes")
	flags.BoolVar(&o.Build, "build", false, "Build the images whose Dockerfiles lie beside the manifests or are named by skiff.local/build, and again when their sources change")
	flags.BoolVar(&o.Poll, "poll", false, "Look at the files at intervals instead of relying on change notifications")
	flags.StringSliceVar(&o.Values, "values", nil, "Value files for Helm charts, the last one wins")
	_ = c.RegisterFlagCompletionFunc("prune", cobra.FixedCompletions([]string{"safe", "all", "none"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func (o *Options) complete(args []string) error {
	if len(args) == 0 {
		return exit.With(exit.Usage, errors.New("what should go up? No path was given"), "skiff up k8s/, or skiff up . for this directory")
	}
	return o.SetSources(args)
}

// SetSources makes sources of what was typed, and checks the options.
func (o *Options) SetSources(args []string) error {
	if slices.Contains(args, "-") {
		return o.takeInput(args)
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "https://") {
			return exit.With(exit.Usage, fmt.Errorf("%s can't be watched", arg), "skiff apply -f "+arg+" applies it once")
		}
		src, err := source.New(arg)
		if err != nil {
			return exit.With(exit.Usage, err, "")
		}
		for _, values := range o.Values {
			v, err := source.New(values)
			if err != nil {
				return exit.With(exit.Usage, err, "")
			}
			src.Values = append(src.Values, v.Path)
		}
		o.Sources = append(o.Sources, src)
	}
	return o.Validate()
}

// Validate checks what the flags say together.
func (o *Options) Validate() error {
	switch o.Output {
	case "", "text", "json":
	default:
		return exit.With(exit.Usage, fmt.Errorf("unknown output format %q", o.Output), "text or json")
	}
	if o.Background && (o.Once || o.DryRun) {
		return exit.With(exit.Usage, errors.New("--detach can't be combined with --once or --dry-run"), "")
	}
	if o.Stop {
		return nil // the files may be gone already
	}
	for _, src := range o.Sources {
		if _, err := os.Stat(src.Path); err != nil {
			return exit.With(exit.Manifest, fmt.Errorf("there is no %s", src.Name), "check the path: it is taken from the current directory")
		}
	}
	return nil
}

func (o *Options) definition(namespace string) watch.Definition {
	return watch.Definition{
		Name: o.Set, Sources: o.Sources, Namespace: namespace, Prune: watch.PruneMode(o.Prune),
		TakeOver: o.TakeOver, RollOnConfig: o.RollOnConfig, Poll: o.Poll, Build: o.Build, Images: o.Images,
	}
}

// TargetOf finds the cluster that the flags of a mounted verb mean.
func TargetOf(e *env.Env, c *cobra.Command, f cmdutil.Factory) (Target, error) {
	config, err := f.ToRESTConfig()
	if err != nil {
		return Target{}, err
	}
	namespace, _, err := f.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return Target{}, err
	}
	t := Target{REST: config, Namespace: namespace, Name: "skiff", Ours: true}
	for _, name := range []string{"server", "cluster", "kubeconfig", "context"} {
		if flag := c.Flags().Lookup(name); flag != nil && flag.Changed {
			t.Name, t.Ours = flag.Value.String(), false
		}
	}
	if p, err := e.Profile(); err == nil && t.Name == p.Context() {
		t.Ours = true // its own context, named the long way
	}
	return t, nil
}
