package up

import (
	"fmt"

	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/watch"
)

func renderDifference(c iostreams.Colours, name string, d watch.Difference) string {
	switch {
	case d.Before == nil:
		return fmt.Sprintf("%s %s would be created\n", c.Green("+"), name)
	case d.After == nil:
		return fmt.Sprintf("%s %s would be pruned\n", c.Red("-"), name)
	}
	return fmt.Sprintf("%s %s would change\n", c.Yellow("~"), name)
}
