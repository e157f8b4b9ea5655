// Package status is `skiff status`: one screen that says what runs, where it answers, and what is not well.
package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
)

type options struct {
	env    *env.Env
	output string
	watch  bool
}

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	o := &options{env: e}
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what runs, where it answers, and what is not well",
		Long: `Show the daemon, the engine, the API, the network, the watched sets, the Services with their URLs, and
everything that is not well with what to do about it.

It ends with 0 when all is well, 8 when the cluster does not run or is paused, and 11 when something is not well.`,
		Example: `  skiff status
  skiff status -w
  skiff status -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.output != "" && o.output != "json" {
				return exit.With(exit.Usage, fmt.Errorf("unknown output format %q", o.output), "use -o json, or leave it out")
			}
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			if o.watch {
				return o.follow(ctx)
			}
			return o.once(ctx)
		},
	}
	c.Flags().StringVarP(&o.output, "output", "o", "", "Output format: json")
	c.Flags().BoolVarP(&o.watch, "watch", "w", false, "Show it again whenever it changes, until Ctrl-C")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// askTimeout bounds one question to the daemon. Chosen: status is for when things hang, so it must not.
const askTimeout = 10 * time.Second

// gather asks the daemon; a profile that doesn't run has a status too.
func (o *options) gather(ctx context.Context) (client.Status, error) {
	p, err := o.env.Profile()
	if err != nil {
		return client.Status{}, err
	}
	stopped := client.Status{Profile: p.Name, Context: p.Context(), Problems: []client.Problem{}}
	c, err := client.Connect(p)
	if err != nil {
		if f := client.AsFailure(err); f != nil && f.Reason == client.ReasonNotRunning {
			stopped.Left = env.GlanceAtLeft(ctx, p)
			return stopped, nil
		}
		return stopped, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := c.Status(ctx)
	if err != nil && !p.Running() {
		return stopped, nil // it ended while it was asked
	}
	return s, err
}

func (o *options) once(ctx context.Context) error {
	s, err := o.gather(ctx)
	if err != nil {
		return err
	}
	if o.output == "json" {
		raw, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(o.env.IO.Out, string(raw))
	} else {
		render(o.env.IO.Out, s, o.env, time.Now())
	}
	return verdict(s)
}

func verdict(s client.Status) error {
	switch {
	case !s.Running:
		return exit.Silent(exit.NotRunning)
	case len(s.Problems) > 0:
		return exit.Silent(exit.Unwell)
	}
	return nil
}

// watchInterval is how often -w looks. Chosen: an answer costs the daemon less than a millisecond.
const watchInterval = time.Second

func (o *options) follow(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	var last []byte
	for {
		s, err := o.gather(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := o.show(s, &last); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// show prints s when it differs from the last time; on a terminal it takes the last one's place.
func (o *options) show(s client.Status, last *[]byte) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if o.output == "json" {
		if !bytes.Equal(raw, *last) {
			fmt.Fprintln(o.env.IO.Out, string(raw))
		}
		*last = raw
		return nil
	}
	screen := &bytes.Buffer{}
	render(screen, s, o.env, time.Now())
	if bytes.Equal(screen.Bytes(), *last) {
		return nil
	}
	if o.env.IO.CanRedrawOut() {
		fmt.Fprint(o.env.IO.Out, "\x1b[H\x1b[2J")
	} else if *last != nil {
		fmt.Fprintln(o.env.IO.Out)
	}
	*last = bytes.Clone(screen.Bytes())
	_, err = o.env.IO.Out.Write(*last)
	return err
}
