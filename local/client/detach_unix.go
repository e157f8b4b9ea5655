//go:build !windows

package client

import (
	"os/exec"
	"syscall"
)

// detach gives the daemon a session of its own, so that neither Ctrl-C nor the terminal's end reaches it.
func detach(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
