// Package new is `skiff new`: manifests to start from, written to a directory that `skiff up` then watches.
package new

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/templates"
)

type options struct {
	env      *env.Env
	template templates.Template
	name     string
	dir      string
	force    bool
	stdout   bool
	yes      bool
	values   map[string]*string
}

// NewCmd returns the verb, with a subcommand for each template.
func NewCmd(e *env.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Write manifests to start from",
		Long: `Write the manifests of a usual part of an application: plain Kubernetes that passes Pod Security's restricted level and
has probes and resources. What the flags leave open is asked on a terminal, and takes its default elsewhere. A file that exists
is never overwritten unasked.`,
	}
	for _, t := range templates.All() {
		c.AddCommand(newTemplateCmd(e, t))
	}
	return c
}

func newTemplateCmd(e *env.Env, t templates.Template) *cobra.Command {
	o := &options{env: e, template: t, values: map[string]*string{}}
	c := &cobra.Command{
		Use:               t.Name + " [NAME]",
		Aliases:           t.Aliases,
		Short:             t.Short,
		Args:              cobra.MaximumNArgs(1),
		Example:           example(t),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			o.name = t.Name
			if len(args) == 1 {
				o.name = args[0]
			}
			return o.run(c)
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", "k8s", "Directory to write to")
	f.BoolVar(&o.force, "force", false, "Overwrite a file that exists")
	f.BoolVar(&o.stdout, "stdout", false, "Print the manifests instead of writing them")
	f.BoolVarP(&o.yes, "yes", "y", false, "Do not ask: take the defaults")
	for _, p := range t.Params {
		o.values[p.Name] = f.String(p.Name, p.Default, upperFirst(p.Help))
	}
	return c
}

func example(t templates.Template) string {
	p := t.Params[0]
	return fmt.Sprintf("  skiff new %s my%s\n  skiff new %s my%s --%s %s --stdout", t.Name, t.Name, t.Name, t.Name, p.Name, p.Default)
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (o *options) run(c *cobra.Command) error {
	values := map[string]string{}
	for name, v := range o.values {
		values[name] = *v
	}
	if o.env.IO.IsInTTY() && !o.yes && !o.stdout {
		if err := o.ask(c, values); err != nil {
			return err
		}
	}
	raw, err := o.template.Render(o.name, values)
	if err != nil {
		return exit.With(exit.Usage, err, "see `"+c.CommandPath()+" --help`")
	}
	if o.stdout {
		_, err := o.env.IO.Out.Write(raw)
		return err
	}
	path := filepath.Join(o.dir, o.name+".yaml")
	if err := o.write(path, raw); err != nil {
		return err
	}
	fmt.Fprintf(o.env.IO.Out, "wrote %s\n", path)
	fmt.Fprintf(o.env.IO.ErrOut, "see it run, and change it while it does: %s\n", o.env.IO.ErrColours().Cyan(o.env.Command("up "+o.dir)))
	return nil
}

// ask goes through what no flag decided. An answer that can't be is asked again.
func (o *options) ask(c *cobra.Command, values map[string]string) error {
	for _, p := range o.template.Params {
		if c.Flags().Changed(p.Name) {
			continue
		}
		for {
			answer, err := o.question(fmt.Sprintf("%s [%s]: ", upperFirst(p.Help), p.Default))
			if err != nil {
				return err
			}
			if answer == "" {
				break
			}
			if err := p.Check(answer); err != nil {
				fmt.Fprintf(o.env.IO.ErrOut, "%v\n", err)
				continue
			}
			values[p.Name] = answer
			break
		}
	}
	return nil
}

func (o *options) question(text string) (string, error) {
	answer, ok := o.env.IO.Ask(text)
	if !ok {
		return "", exit.With(exit.Interrupted, errors.New("no answer: nothing was written"), "")
	}
	return answer, nil
}

// write never replaces a file that the user has not agreed to lose.
func (o *options) write(path string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if o.force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		if !o.env.IO.IsInTTY() || o.yes {
			return exit.With(exit.General, fmt.Errorf("%s exists", path), "--force overwrites it; another NAME or --dir leaves it alone")
		}
		if !o.env.IO.Confirm(path + " exists. Overwrite it?") {
			return exit.With(exit.General, fmt.Errorf("%s is left as it was", path), "")
		}
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(raw)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
