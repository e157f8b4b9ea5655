// Package completion is `skiff completion`: the script that teaches a shell to complete skiff's verbs, flags, and the
// names of live objects.
package completion

import (
	"fmt"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
)

// NewCmd returns the verb.
func NewCmd(e *env.Env) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of a shell",
		Long: `Print a script that completes verbs, flags and the names of live objects. install.sh puts it in place;
by hand, add one of the lines below to your shell's start-up file.`,
		Example: `  source <(skiff completion bash)
  source <(skiff completion zsh)
  skiff completion fish | source
  skiff completion powershell | Out-String | Invoke-Expression`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), e.IO.Out
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return exit.With(exit.Usage, fmt.Errorf("no completion for the shell %q", args[0]), "it is one of bash, zsh, fish, powershell")
		},
	}
}
