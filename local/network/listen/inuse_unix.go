//go:build unix

package listen

import (
	"errors"
	"syscall"
)

// InUse reports whether somebody else has the port.
func InUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
