//go:build linux

package agent

import (
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"skiff.local/skiff/runtime/volume/wire"
)

// frameTimeout bounds the time from a request's first byte to its last. Chosen: a request crosses the engine in
// milliseconds, and the daemon waits longer than this before it asks again.
const frameTimeout = 2 * time.Second

// Serve answers requests until in ends; exit is called after the answer to one that asks for it. It is meant for its own
// goroutine.
func Serve(in *os.File, out io.Writer, exit func()) {
	stream := pollable(in)
	var vols volumes
	for {
		_ = stream.SetReadDeadline(time.Time{})
		id, ops, err := wire.ReadRequest(stream, func() { _ = stream.SetReadDeadline(time.Now().Add(frameTimeout)) })
		switch {
		case err == nil:
			_, _ = out.Write(wire.AppendResponse(nil, id, vols.runAll(ops)))
			if slices.ContainsFunc(ops, func(op wire.Op) bool { return op.Kind == wire.Exit }) {
				exit()
			}
		case errors.Is(err, wire.ErrCorrupt), errors.Is(err, os.ErrDeadlineExceeded):
			// The node died while it wrote: drop what came and wait for the next request.
		default:
			return
		}
	}
}

// pollable gives f read deadlines, which the runtime only does for descriptors that are non-blocking when it meets them.
func pollable(f *os.File) *os.File {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil || syscall.SetNonblock(fd, true) != nil {
		return f
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// volumes are a pod's.
type volumes struct {
	// named are published directories that the node has given the engine's name of, by path. A container that was made with it
	// may start later, or again: they stay when others replace them.
	named map[string]bool
}

// runAll runs the operations in order. One that fails doesn't keep the others from running: the node decides what it needs.
func (v *volumes) runAll(ops []wire.Op) []wire.Result {
	results := make([]wire.Result, len(ops))
	for i := range ops {
		if err := v.run(&ops[i], &results[i]); err != nil {
			results[i].Err = err.Error()
		}
	}
	return results
}

func (v *volumes) run(op *wire.Op, res *wire.Result) error {
	switch op.Kind {
	case wire.Publish:
		return v.publish(op, res)
	case wire.Prepare:
		return prepare(op, res)
	case wire.Mkdir:
		return mkdir(op)
	case wire.Touch:
		return touch(op)
	case wire.WriteFile:
		return write(op, os.O_TRUNC)
	case wire.AppendFile:
		return write(op, os.O_APPEND)
	case wire.ReadFile:
		return readTail(op, res)
	case wire.Usage:
		return usage(op, res)
	case wire.Stat:
		return stat(op, res)
	case wire.HostStat:
		return hostStat(op, res)
	case wire.Resolve:
		return v.resolve(op, res)
	case wire.Empty:
		return empty(op)
	case wire.Exit:
		return nil // after the answer
	}
	return errors.ErrUnsupported
}
