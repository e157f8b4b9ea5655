package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Docker builds with the docker command line.
type Docker struct {
	// Host is the engine to build on, "" for the one that docker itself would choose.
	Host string
}

// Error is a build that failed.
type Error struct {
	Reference string
	// Lines are the end of the builder's output.
	Lines []string
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("build %s: %v", e.Reference, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// ErrNoDocker says that there is no docker command to build with.
var ErrNoDocker = errors.New("there is no docker command to build with")

// lastLines is how much of a failed build's output is kept.
const lastLines = 15

// Build builds an image and returns its ID. Output gets the builder's progress, line by line.
func (d Docker) Build(ctx context.Context, image Image, output func(line string)) (id string, err error) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		return "", &Error{Reference: image.Reference, Err: ErrNoDocker}
	}
	dir, err := os.MkdirTemp("", "skiff-build-")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", image.Reference, err)
	}
	defer os.RemoveAll(dir)
	idFile := filepath.Join(dir, "id")
	args := []string{"build", "--tag", image.Reference, "--file", image.Dockerfile, "--iidfile", idFile}
	if image.Target != "" {
		args = append(args, "--target", image.Target)
	}
	for _, arg := range image.args() {
		args = append(args, "--build-arg", arg)
	}
	command := exec.CommandContext(ctx, docker, append(args, image.Context)...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	command.Env = append(os.Environ(), "BUILDKIT_PROGRESS=plain", "DOCKER_CLI_HINTS=false")
	if d.Host != "" {
		command.Env = append(command.Env, "DOCKER_HOST="+d.Host)
	}
	reader, writer := io.Pipe()
	command.Stdout, command.Stderr = writer, writer
	var tail []string
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := strings.TrimRight(lines.Text(), " \r")
			if line == "" {
				continue
			}
			if tail = append(tail, line); len(tail) > lastLines {
				tail = tail[1:]
			}
			output(line)
		}
		_, _ = io.Copy(io.Discard, reader) // a line too long must not block the builder
	}()
	err = command.Run()
	_ = writer.Close()
	<-read
	if err != nil {
		return "", &Error{Reference: image.Reference, Lines: tail, Err: err}
	}
	raw, err := os.ReadFile(idFile)
	if err != nil {
		return "", fmt.Errorf("build %s: read the image's ID: %w", image.Reference, err)
	}
	return strings.TrimSpace(string(raw)), nil
}
