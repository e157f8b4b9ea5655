package docker

import (
	"io"
	"os"
	"os/exec"
)

// ownStdoutPipe gives the process a pipe whose reading end belongs to the caller alone.
func ownStdoutPipe(cmd *exec.Cmd) (io.ReadCloser, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	return r, nil
}

// closeChildEnd closes our copy of the process's end, so that its exit is seen as the end of the stream.
func closeChildEnd(cmd *exec.Cmd) {
	if w, ok := cmd.Stdout.(*os.File); ok {
		_ = w.Close()
	}
}
