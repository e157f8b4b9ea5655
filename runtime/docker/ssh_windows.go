package docker

import (
	"os/exec"
	"syscall"
)

// detach keeps a Ctrl-C in the console from reaching ssh: the connection must outlive it for an orderly end.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
