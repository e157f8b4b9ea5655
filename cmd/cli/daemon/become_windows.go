package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"skiff.local/skiff/cmd/cli/exit"
)

// become runs the program in the place of this one. Ctrl-C reaches both; this one waits for the program's end.
func become(program string, args []string) error {
	signal.Ignore(os.Interrupt)
	c := exec.Command(program, args...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := c.Run()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		return exit.Silent(exit.Code(failed.ExitCode()))
	case err != nil:
		return fmt.Errorf("run %s: %w", program, err)
	}
	return nil
}
