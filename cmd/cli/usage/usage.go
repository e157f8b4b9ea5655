// Package usage says what is wrong with a command line in words that name what is missing, for skiff's own verbs.
package usage

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"skiff.local/skiff/cmd/cli/exit"
)

// Arguments checks the arguments that were given with check, and tells what the verb takes when they are not those.
func Arguments(c *cobra.Command, given []string, check cobra.PositionalArgs) error {
	if check(c, given) == nil {
		return nil
	}
	_, takes, _ := strings.Cut(c.Use, " ")
	if takes == "" {
		takes = "no argument"
	}
	got := "nothing"
	if len(given) > 0 {
		got = fmt.Sprintf("%q", strings.Join(given, " "))
	}
	return exit.With(exit.Usage, fmt.Errorf("%s takes %s, and got %s", c.CommandPath(), takes, got), "see `"+c.CommandPath()+" --help`")
}
