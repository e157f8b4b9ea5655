package docker

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Attach connects to the first process of a running container until its output ends or ctx does. Output from before the
// attachment is not replayed; read it with Logs. Streams.TTY must say whether the container has a terminal.
func (e *Engine) Attach(ctx context.Context, containerID string, streams Streams) error {
	query := url.Values{"stream": {"1"}, "detachKeys": {neverDetach}}
	for name, wanted := range map[string]bool{
		"stdin": streams.Stdin != nil, "stdout": streams.Stdout != nil, "stderr": streams.Stderr != nil && !streams.TTY,
	} {
		if wanted {
			query.Set(name, "1")
		}
	}
	conn, err := e.hijack(ctx, "/containers/"+url.PathEscape(containerID)+"/attach", query, nil)
	if err != nil {
		return e.convert(err, "attach to container", containerID)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var out io.Reader = conn
	if !streams.TTY {
		out = &frameReader{r: conn.r, stderr: streams.Stderr}
	}
	err = pump(ctx, conn, out, streams, func(ctx context.Context, size TerminalSize) error {
		return e.ResizeTTY(ctx, containerID, size)
	})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return e.convert(err, "attach to container", containerID)
}

// ResizeTTY changes the size of a container's terminal.
func (e *Engine) ResizeTTY(ctx context.Context, containerID string, size TerminalSize) error {
	err := e.cli.ContainerResize(ctx, containerID, container.ResizeOptions{Height: uint(size.Height), Width: uint(size.Width)})
	return e.convert(err, "resize the terminal of container", containerID)
}

// pump feeds stdin and terminal sizes and copies the output until it ends. The end of stdin is passed on as the end of
// the process's standard input only. A stdin that blocks in Read outlives the pump; its owner ends it.
func pump(ctx context.Context, conn *hijacked, out io.Reader, streams Streams, resize func(context.Context, TerminalSize) error) error {
	done := make(chan struct{})
	defer close(done)
	if streams.Stdin != nil {
		go func() {
			_, _ = io.Copy(conn, streams.Stdin)
			_ = conn.CloseWrite()
		}()
	}
	if streams.Resize != nil {
		go func() {
			for {
				select {
				case size, ok := <-streams.Resize:
					if !ok {
						return
					}
					_ = resize(ctx, size) // a process that just ended has no terminal
				case <-done:
					return
				}
			}
		}()
	}
	dst := streams.Stdout
	if dst == nil {
		dst = io.Discard
	}
	_, err := io.Copy(dst, out)
	return err
}

// Logs copies a container's log, of a running or an ended one, to the writers; a nil writer leaves its stream out. It
// returns when the log ends, which with Follow is when the container does, or when ctx ends.
func (e *Engine) Logs(ctx context.Context, containerID string, opts LogOptions, stdout, stderr io.Writer) error {
	const op = "read the log of container"
	request := container.LogsOptions{
		ShowStdout: stdout != nil, ShowStderr: stderr != nil, Follow: opts.Follow, Timestamps: opts.Timestamps,
		Since: timestamp(opts.Since), Until: timestamp(opts.Until), Tail: "all",
	}
	if opts.TTY {
		// One stream, which the engine files under standard output.
		request.ShowStdout, request.ShowStderr = true, true
	}
	if opts.Tail != nil {
		request.Tail = strconv.Itoa(max(*opts.Tail, 0))
	}
	body, err := e.cli.ContainerLogs(ctx, containerID, request)
	if err != nil {
		return e.convert(err, op, containerID)
	}
	defer func() { _ = body.Close() }()
	if opts.TTY {
		if stdout == nil {
			stdout = io.Discard
		}
		_, err = io.Copy(stdout, body)
	} else {
		err = demultiplex(body, stdout, stderr)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return e.convert(err, op, containerID)
}

// timestamp is the engine's notation: seconds, a dot, nine digits of nanoseconds.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	nanos := strconv.Itoa(1_000_000_000 + t.Nanosecond())
	return strconv.FormatInt(t.Unix(), 10) + "." + nanos[1:]
}

// CopyTo unpacks a tar at a directory of a container, which need not run. Volumes that are mounted there are written
// through.
func (e *Engine) CopyTo(ctx context.Context, containerID, dir string, tar io.Reader, opts CopyOptions) error {
	err := e.cli.CopyToContainer(ctx, containerID, dir, tar, container.CopyToContainerOptions{
		AllowOverwriteDirWithFile: opts.AllowOverwrite, CopyUIDGID: opts.KeepOwner,
	})
	return e.convert(err, "copy into container", containerID)
}

// CopyFrom packs a file or directory of a container as a tar whose entries start with its base name. The caller closes
// the reader.
func (e *Engine) CopyFrom(ctx context.Context, containerID, path string) (io.ReadCloser, FileStat, error) {
	body, stat, err := e.cli.CopyFromContainer(ctx, containerID, path)
	if err != nil {
		return nil, FileStat{}, e.convert(err, "copy from container", containerID)
	}
	return body, fileStat(stat), nil
}

// StatPath describes a path in a container.
func (e *Engine) StatPath(ctx context.Context, containerID, path string) (FileStat, error) {
	stat, err := e.cli.ContainerStatPath(ctx, containerID, path)
	if err != nil {
		return FileStat{}, e.convert(err, "stat "+path+" in container", containerID)
	}
	return fileStat(stat), nil
}

func fileStat(s container.PathStat) FileStat {
	return FileStat{Name: s.Name, Size: s.Size, Mode: s.Mode, ModTime: s.Mtime, LinkTarget: s.LinkTarget}
}
