package daemon

import (
	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/skiffd/flags"
	"skiff.local/skiff/local/client"
)

// newRunCmd returns `skiff daemon run`, which becomes the daemon's program: it writes its progress to standard output as
// JSON lines and its log to standard error.
func newRunCmd(e *env.Env) *cobra.Command {
	var o client.StartOptions
	c := &cobra.Command{
		Use:     "run",
		Short:   "Run the cluster in the foreground, until Ctrl-C; pods keep running",
		Args:    cobra.NoArgs,
		Example: "  skiff daemon run",
		RunE: func(*cobra.Command, []string) error {
			p, err := e.Profile()
			if err != nil {
				return err
			}
			program, err := client.Program()
			if err != nil {
				return err
			}
			o.Version = e.Version
			return become(program, o.Args(p))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags.Add(c.Flags(), &o)
	return c
}
