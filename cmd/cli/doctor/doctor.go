// Package doctor is `skiff doctor`: it checks what skiff stands on, one thing after the other, and offers the cure for
// each thing that is not well. It changes nothing.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

// Level says how bad a finding is.
type Level string

// The levels. Only Bad makes doctor fail.
const (
	Good    Level = "ok"
	Notice  Level = "notice" // works, but somebody may wonder later
	Bad     Level = "bad"
	Skipped Level = "skipped"
)

// Finding is what one check found.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`

	code exit.Code // what a Bad finding exits with; exit.Unwell when zero
}

// patient is what the checks look at; a check may rely on those before it.
type patient struct {
	env     *env.Env
	profile *profile.Profile
	engine  *docker.Engine
	info    *docker.EngineInfo
	asked   time.Time // when info was
}

type check struct {
	name string
	run  func(context.Context, *patient) []Finding
}

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	var output string
	var engineOnly bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check what skiff stands on, and offer the cure for what is not well",
		Long: `Check the Docker Engine, this user's permissions, disk space, ports, subnets, name resolution, the clock, file
watches, the kubeconfig and versions. Nothing is changed. It ends with 0 when nothing is in the way, and else with the code
of the first thing that is (see docs/exit-codes.md).`,
		Example: `  skiff doctor
  skiff doctor -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return exit.With(exit.Usage, fmt.Errorf("unknown output format %q", output), "use -o json, or leave it out")
			}
			ctx, stop := env.Interruptible(c.Context())
			defer stop()
			checks := allChecks()
			if engineOnly {
				checks = checks[:1]
			}
			return examine(ctx, e, checks, output == "json")
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "Output format: json")
	c.Flags().BoolVar(&engineOnly, "engine", false, "Check only that the engine answers")
	return c
}

func allChecks() []check {
	return []check{
		{"engine", checkEngine},
		{"engine features", checkFeatures},
		{"home", checkHome},
		{"disk", checkDisk},
		{"ports", checkPorts},
		{"subnets", checkSubnets},
		{"name resolution", checkNames},
		{"clock", checkClock},
		{"file watches", checkWatches},
		{"kubeconfig", checkKubeconfig},
		{"programs", checkPrograms},
		{"daemon", checkDaemon},
	}
}

// checkTimeout bounds one check. Chosen: a name server that doesn't answer takes 5 s to say so.
const checkTimeout = 10 * time.Second

func examine(ctx context.Context, e *env.Env, checks []check, asJSON bool) error {
	p, err := e.Profile()
	if err != nil {
		return err
	}
	who := &patient{env: e, profile: p}
	defer func() {
		if who.engine != nil {
			_ = who.engine.Close()
		}
	}()
	var findings []Finding
	for _, c := range checks {
		checkCtx, cancel := context.WithTimeout(ctx, checkTimeout)
		for _, f := range c.run(checkCtx, who) {
			f.Check = c.name
			findings = append(findings, f)
			if !asJSON {
				show(e, f)
			}
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if asJSON {
		raw, err := json.MarshalIndent(findings, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(e.IO.Out, string(raw))
	}
	return verdict(e, findings, asJSON)
}

func verdict(e *env.Env, findings []Finding, quiet bool) error {
	code := exit.OK
	bad := 0
	for _, f := range findings {
		if f.Level != Bad {
			continue
		}
		bad++
		if code == exit.OK {
			code = f.code
			if code == exit.OK {
				code = exit.Unwell
			}
		}
	}
	if bad == 0 {
		if !quiet {
			fmt.Fprintln(e.IO.Out, "\nNothing is in the way.")
		}
		return nil
	}
	if !quiet {
		things := "things are"
		if bad == 1 {
			things = "thing is"
		}
		fmt.Fprintf(e.IO.Out, "\n%d %s in the way.\n", bad, things)
	}
	return exit.Silent(code)
}

func show(e *env.Env, f Finding) {
	c := e.IO.Colours()
	mark := map[Level]string{Good: c.Green("✓"), Notice: c.Yellow("!"), Bad: c.Red("✗"), Skipped: c.Faint("-")}[f.Level]
	fmt.Fprintf(e.IO.Out, "%s %s: %s\n", mark, c.Bold(f.Check), f.Message)
	if f.Cure != "" {
		fmt.Fprintf(e.IO.Out, "    %s\n", c.Cyan(f.Cure))
	}
}

func one(level Level, cure, format string, args ...any) []Finding {
	return []Finding{{Level: level, Message: fmt.Sprintf(format, args...), Cure: cure}}
}
