package client

import (
	"os/exec"
	"syscall"
)

// detachedProcess is DETACHED_PROCESS of the Windows API's process creation flags.
const detachedProcess = 0x00000008

// detach gives the daemon neither the console nor the process group of the verb that starts it.
func detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess, HideWindow: true}
}
