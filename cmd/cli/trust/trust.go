// Package trust is `skiff trust`: it makes this machine and its browsers trust the local certificate authority, which signs
// for the hosts of Ingresses and Gateways that have no Secret.
package trust

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/authority"
)

type options struct {
	env       *env.Env
	uninstall bool
	print     bool
}

// NewCmd returns `skiff trust`.
func NewCmd(e *env.Env) *cobra.Command {
	o := &options{env: e}
	c := &cobra.Command{
		Use:   "trust",
		Short: "Trust the local certificate authority, for HTTPS without warnings",
		Long: `Make this machine trust skiff's local certificate authority, which signs for the hosts of Ingresses that
name no Secret, so that https://shop.localhost opens without a warning. It goes to the system's store, and where certutil is
installed to those of Firefox and Chrome.

All profiles share the authority, and it outlives them: once is enough. What only root may do is shown, and done with sudo
when you say yes. The authority's key stays in skiff's folder, readable by you alone: who can read it can make certificates
that this machine trusts, until skiff trust --uninstall.

Programs with a store of their own take the certificate as a file: NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE and the like.`,
		Example: `  skiff trust
  skiff trust --print
  skiff trust --uninstall`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			return o.run(ctx)
		},
	}
	c.Flags().BoolVar(&o.uninstall, "uninstall", false, "Trust it no longer")
	c.Flags().BoolVar(&o.print, "print", false, "Print the certificate, and change nothing")
	c.MarkFlagsMutuallyExclusive("uninstall", "print")
	return c
}

func (o *options) run(ctx context.Context) error {
	dir, err := o.env.Home()
	if err != nil {
		return err
	}
	if o.uninstall && !exists(filepath.Join(dir, authority.CertFile)) {
		fmt.Fprintln(o.env.IO.ErrOut, "there is no local certificate authority")
		return nil
	}
	ca, err := authority.Open(dir)
	if err != nil {
		return exit.With(exit.Home, err, "")
	}
	if o.print {
		fmt.Fprint(o.env.IO.Out, string(ca.PEM()))
		fmt.Fprintln(o.env.IO.ErrOut, filepath.Join(dir, authority.CertFile))
		return nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return fmt.Errorf("find the home directory: %w", err)
	}
	m := machine{os: runtime.GOOS, home: user, exists: exists, read: os.ReadFile, look: exec.LookPath, glob: filepath.Glob}
	p := m.plan(cert{path: filepath.Join(dir, authority.CertFile), pem: ca.PEM(), der: ca.Cert.Raw}, o.uninstall)
	return o.exec(ctx, p)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// exec does what is planned. A store that fails does not keep the others from being tried.
func (o *options) exec(ctx context.Context, p plan) error {
	var failed []error
	colours := o.env.IO.ErrColours()
	for _, s := range p.stores {
		err := o.change(ctx, s)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
		case o.uninstall:
			fmt.Fprintf(o.env.IO.ErrOut, "%s not trusted by %s any more\n", colours.Green("✓"), s.name)
		case len(s.commands) == 0:
			fmt.Fprintf(o.env.IO.ErrOut, "%s trusted by %s already\n", colours.Green("✓"), s.name)
		default:
			fmt.Fprintf(o.env.IO.ErrOut, "%s trusted by %s\n", colours.Green("✓"), s.name)
		}
	}
	for _, n := range p.notes {
		fmt.Fprintln(o.env.IO.ErrOut, n)
	}
	if len(p.stores) == 0 && len(failed) == 0 && !o.uninstall {
		return exit.With(exit.General, errors.New("no store of trusted certificates was found"), "`skiff trust --print` prints the certificate, for programs that take a file")
	}
	return errors.Join(failed...)
}

// errDeclined is the error of somebody who did not want sudo to be run, or could not be asked.
var errDeclined = errors.New("only root may change it")

func (o *options) change(ctx context.Context, s store) error {
	sudo := s.root && os.Geteuid() != 0
	if sudo && len(s.commands) > 0 && !o.asked(s) {
		var lines []string
		for _, c := range s.commands {
			lines = append(lines, "sudo "+c.String())
		}
		return exit.With(exit.General, errDeclined, "run `"+strings.Join(lines, " && ")+"`")
	}
	for _, c := range s.commands {
		args := c.args
		if sudo {
			args = append([]string{"sudo", "--"}, args...)
		}
		run := exec.CommandContext(ctx, args[0], args[1:]...)
		run.Stdin = o.env.IO.In // where sudo may ask for a password
		if out, err := run.CombinedOutput(); err != nil && !c.mayFail {
			return fmt.Errorf("%s: %w: %s", c, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// asked shows what sudo would run, and asks whether it may.
func (o *options) asked(s store) bool {
	if _, err := exec.LookPath("sudo"); err != nil || !o.env.IO.IsInTTY() {
		return false
	}
	fmt.Fprintf(o.env.IO.ErrOut, "Only root may change %s:\n", s.name)
	for _, c := range s.commands {
		fmt.Fprintf(o.env.IO.ErrOut, "  sudo %s\n", c)
	}
	return o.env.IO.Confirm("Run this?")
}
