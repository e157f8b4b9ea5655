package listen

import (
	"errors"

	"golang.org/x/sys/windows"
)

// InUse reports whether somebody else has the port.
func InUse(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }
