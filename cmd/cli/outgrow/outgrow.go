// Package outgrow is `skiff outgrow`: take manifests that work on skiff to another cluster. It says first what would
// behave differently there, pushes the images that only this machine has, and applies.
package outgrow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/cmd/cli/kube"
	"skiff.local/skiff/cmd/cli/up"
	"skiff.local/skiff/watch/manifest"
	"skiff.local/skiff/watch/outgrow"
	"skiff.local/skiff/watch/source"
)

const long = `Say what in these manifests would behave differently on another cluster, push the images that only this machine
has, and apply.

It looks for node ports and load balancers, hostPath and host networks, storage and ingress classes that the cluster does
not have, images without a registry, tags that move, and missing requests and probes. Nothing is changed when something
would break there, unless --force says so.`

const examples = `  # Only say what would be different
  skiff outgrow --context staging --check k8s/

  # Push local images, ask, and apply
  skiff outgrow --context staging --registry registry.example/team k8s/`

type options struct {
	up       up.Options
	check    bool
	force    bool
	registry string
}

// Verb is `skiff outgrow`.
func Verb(e *env.Env) kube.Verb {
	return kube.Verb{Name: "outgrow", Short: "Take manifests to another cluster, and say what is different there",
		Build: func(f cmdutil.Factory, _ genericiooptions.IOStreams) *cobra.Command { return newCmd(e, f) }}
}

func newCmd(e *env.Env, f cmdutil.Factory) *cobra.Command {
	o := &options{up: up.Options{Env: e, Once: true}}
	c := &cobra.Command{
		Use:                   "outgrow --context NAME [--registry PREFIX] PATH... [flags]",
		DisableFlagsInUseLine: true,
		Short:                 "Take manifests to another cluster, and say what is different there",
		Long:                  long,
		Example:               examples,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.With(exit.Usage, errors.New("which manifests? No path was given"), "skiff outgrow --context NAME k8s/")
			}
			if err := o.up.SetSources(args); err != nil {
				return err
			}
			target, err := up.TargetOf(e, c, f)
			if err != nil {
				return err
			}
			if target.Ours {
				return exit.With(exit.Usage, errors.New("outgrow to where? No other cluster was named"), "--context NAME; `kubectl config get-contexts` lists them")
			}
			o.up.Target = func() (up.Target, error) { return target, nil }
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			return run(ctx, o, target)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&o.up.Output, "output", "o", "", "Output format: text or json")
	flags.BoolVar(&o.check, "check", false, "Only say what would be different")
	flags.BoolVar(&o.force, "force", false, "Apply although something would break")
	flags.BoolVarP(&o.up.Yes, "yes", "y", false, "Answer yes to every question")
	flags.StringVar(&o.registry, "registry", "", "Push images that only this machine has to this registry and prefix, and run them from there")
	flags.StringSliceVar(&o.up.Values, "values", nil, "Value files for Helm charts, the last one wins")
	return c
}

func run(ctx context.Context, o *options, target up.Target) error {
	io := o.up.Env.IO
	objects, err := load(o, target)
	if err != nil {
		return err
	}
	facts, local := gather(ctx, o, target, objects)
	findings := outgrow.Check(objects, facts)
	breaks := 0
	for _, f := range findings {
		if f.Severity == outgrow.Breaks {
			breaks++
		}
	}
	if o.up.Output == "json" {
		encoder := json.NewEncoder(io.Out)
		encoder.SetIndent("", "  ")
		if findings == nil {
			findings = []outgrow.Finding{}
		}
		if err := encoder.Encode(findings); err != nil {
			return fmt.Errorf("write the findings: %w", err)
		}
	} else {
		print(io, target.Name, findings)
	}
	switch {
	case o.check && breaks > 0:
		return exit.Silent(exit.Manifest)
	case o.check:
		return nil
	case breaks > 0 && !o.force:
		return exit.With(exit.Manifest, fmt.Errorf("nothing was changed: %d of these would break on %s", breaks, target.Name), "repair them, or add --force")
	}
	if err := o.up.MayTouch(target); err != nil { // before a push changes a registry
		return err
	}
	o.up.Yes = true
	if o.registry != "" && len(local) > 0 {
		if o.up.Images, err = push(ctx, o, local); err != nil {
			return err
		}
	}
	return up.Run(ctx, &o.up)
}

// load reads the manifests, and insists that all of them can be read.
func load(o *options, target up.Target) ([]manifest.Object, error) {
	snapshot := source.NewLoader(o.up.Sources, source.Options{Namespace: target.Namespace}).Load(nil)
	var objects []manifest.Object
	for _, unit := range snapshot.Units {
		if len(unit.Problems) > 0 {
			return nil, exit.With(exit.Manifest, unit.Problems[0], unit.Problems[0].Hint)
		}
		objects = append(objects, unit.Objects...)
	}
	if len(objects) == 0 {
		return nil, exit.With(exit.Manifest, errors.New("there are no manifests"), "check the path")
	}
	return objects, nil
}

func print(io *iostreams.IOStreams, cluster string, findings []outgrow.Finding) {
	c := io.Colours()
	if len(findings) == 0 {
		fmt.Fprintf(io.Out, "%s nothing would be different on %s\n", c.Green("✓"), cluster)
		return
	}
	titles := map[outgrow.Severity]string{
		outgrow.Breaks: c.Red("would break on " + cluster), outgrow.Differs: c.Yellow("would be different on " + cluster), outgrow.Advice: c.Cyan("better elsewhere than on a laptop"),
	}
	last := outgrow.Severity(-1)
	for _, f := range findings {
		if f.Severity != last {
			fmt.Fprintln(io.Out, c.Bold(titles[f.Severity]))
			last = f.Severity
		}
		position := manifest.Problem{File: f.File, Line: f.Line}.Position()
		fmt.Fprintf(io.Out, "  %s %s: %s\n", c.Faint(position), c.Bold(f.Object), f.What)
		if f.Hint != "" {
			fmt.Fprintf(io.Out, "    %s %s\n", c.Cyan("→"), f.Hint)
		}
	}
}
