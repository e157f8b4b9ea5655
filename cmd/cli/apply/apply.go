// Package apply is `skiff apply`: kubectl's apply with all its flags and habits, and --watch, which hands the same
// files to the loop of `skiff up`.
//
// Without --watch it is kubectl's own command, so that scripts and tutorials find what they know, down to the
// last-applied annotation and --prune with its selectors. With --watch the flags that choose files, namespace and
// cluster mean the same; those that only make sense for a client-side apply are refused instead of being ignored.
package apply

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	kubectl "k8s.io/kubectl/pkg/cmd/apply"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/kube"
	"skiff.local/skiff/cmd/cli/up"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/source"
)

// Verb is `skiff apply`.
func Verb(e *env.Env) kube.Verb {
	return kube.Verb{Name: "apply", Short: "Apply a configuration by file name or stdin, once or on every save",
		Build: func(f cmdutil.Factory, s genericiooptions.IOStreams) *cobra.Command { return newCmd(e, f, s) }}
}

func newCmd(e *env.Env, f cmdutil.Factory, s genericiooptions.IOStreams) *cobra.Command {
	c := kubectl.NewCmdApply("skiff", f, s)
	c.Use = "apply (-f FILENAME | -k DIRECTORY) [--watch]"
	c.Example += `

  # Apply a directory and keep applying what is saved in it
  kubectl apply -f k8s/ --watch`
	// kubectl has no use for -w here; for get it means the same.
	var keepWatching bool
	c.Flags().BoolVarP(&keepWatching, "watch", "w", false, "After applying, keep applying what is saved; what leaves the files is pruned (see `skiff up --help`)")

	stock := c.Run
	c.Run = nil
	c.RunE = func(c *cobra.Command, args []string) error {
		if !keepWatching {
			stock(c, args)
			return nil
		}
		o, err := watchOptions(e, c, args)
		if err != nil {
			return err
		}
		o.Target = func() (up.Target, error) { return up.TargetOf(e, c, f) }
		ctx, stop := env.Interruptible(c.Context())
		defer stop()
		return up.Run(ctx, o)
	}
	return c
}

// understood tells the flags that mean the same with --watch, or ask for what the loop does anyway.
func understood(flag string) bool {
	switch flag {
	case "watch", "filename", "recursive", "kustomize", "output", "dry-run",
		"server-side", "force-conflicts", "overwrite", "prune", "validate", "record":
		return true
	}
	return false
}

// watchOptions translates kubectl's flags. A flag that can't be honoured is an error: silently doing something else to a
// cluster would be worse.
func watchOptions(e *env.Env, c *cobra.Command, args []string) (*up.Options, error) {
	if len(args) > 0 {
		return nil, exit.With(exit.Usage, fmt.Errorf("unexpected argument %q", args[0]), "name files with -f")
	}
	var refused []string
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && !understood(flag.Name) {
			refused = append(refused, "--"+flag.Name)
		}
	})
	if len(refused) > 0 {
		return nil, exit.With(exit.Usage, fmt.Errorf("%s can't be combined with --watch", strings.Join(refused, ", ")),
			"leave --watch out, or see `skiff up --help` for what the loop offers")
	}
	o := &up.Options{Env: e, Prune: string(watch.PruneSafe)}
	flags := c.Flags()
	if output, _ := flags.GetString("output"); output == "json" {
		o.Output = "json"
	}
	if dryRun, _ := flags.GetString("dry-run"); dryRun != "" && dryRun != "none" {
		o.DryRun = true
	}
	recursive, _ := flags.GetBool("recursive")
	files, _ := flags.GetStringSlice("filename")
	kustomization, _ := flags.GetString("kustomize")
	if kustomization != "" {
		files = append(files, kustomization)
	}
	if len(files) == 0 {
		return nil, exit.With(exit.Usage, errors.New("what should be applied? Neither -f nor -k was given"), "skiff apply -f k8s/ --watch")
	}
	for _, file := range files {
		if file == "-" || strings.Contains(file, "://") {
			return nil, exit.With(exit.Usage, fmt.Errorf("%s can't be watched", file), "leave --watch out to apply it once")
		}
		src, err := source.New(file)
		if err != nil {
			return nil, exit.With(exit.Usage, err, "")
		}
		src.Flat = !recursive
		o.Sources = append(o.Sources, src)
	}
	return o, o.Validate()
}
