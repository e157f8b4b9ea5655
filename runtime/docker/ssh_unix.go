//go:build !windows

package docker

import (
	"os/exec"
	"syscall"
)

// detach keeps a Ctrl-C in the terminal from reaching ssh: the connection must outlive it for an orderly end.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
