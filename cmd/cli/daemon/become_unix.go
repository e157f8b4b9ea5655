//go:build !windows

package daemon

import (
	"fmt"
	"os"
	"syscall"
)

// become replaces this process by the program, so that signals and the exit code are the program's own. It returns only
// when that fails.
func become(program string, args []string) error {
	err := syscall.Exec(program, append([]string{program}, args...), os.Environ())
	return fmt.Errorf("run %s: %w", program, err)
}
