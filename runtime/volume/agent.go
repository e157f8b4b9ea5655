package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume/wire"
)

// Attacher connects to a running container's standard streams.
type Attacher interface {
	Attach(ctx context.Context, containerID string, streams docker.Streams) error
}

// How long the pause process may take, and how often a request is repeated when no answer came: a daemon killed while it
// wrote leaves half a request behind, which the pause process drops after two seconds.
const (
	attemptTimeout = 5 * time.Second
	attempts       = 4
)

// Do lets the pause container do file work and returns one result for each operation. Results carry their own errors; err
// means that the pause process could not be asked. Only one Do per container may run at a time.
func Do(ctx context.Context, engine Attacher, sandboxID string, ops []wire.Op) ([]wire.Result, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	var err error
	for n := 0; n < attempts && ctx.Err() == nil; n++ {
		var results []wire.Result
		if results, err = ask(ctx, engine, sandboxID, ops); err == nil {
			return results, nil
		}
		if errors.Is(err, docker.ErrNotFound) || errors.Is(err, docker.ErrConflict) {
			break
		}
	}
	return nil, fmt.Errorf("ask the pause container %.12s for file work: %w", sandboxID, err)
}

func ask(ctx context.Context, engine Attacher, sandboxID string, ops []wire.Op) ([]wire.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	id := rand.Uint32()
	answers, answered := io.Pipe()
	// An input that ends would be passed on as a half-close, which some engines take for the end of the attachment.
	input := &heldReader{data: bytes.NewReader(wire.AppendRequest(nil, id, ops)), done: ctx.Done()}
	go func() {
		err := engine.Attach(ctx, sandboxID, docker.Streams{Stdin: input, Stdout: answered})
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		answered.CloseWithError(err)
	}()
	results, err := wire.ReadResponse(answers, id)
	_ = answers.Close()
	if err != nil {
		return nil, err
	}
	if len(results) != len(ops) {
		return nil, wire.ErrCorrupt
	}
	return results, nil
}

// A heldReader gives its data and then blocks until done.
type heldReader struct {
	data *bytes.Reader
	done <-chan struct{}
}

func (h *heldReader) Read(p []byte) (int, error) {
	if h.data.Len() > 0 {
		return h.data.Read(p)
	}
	<-h.done
	return 0, io.EOF
}

// FirstError is the first failure among results.
func FirstError(ops []wire.Op, results []wire.Result) error {
	for i, r := range results {
		if r.Err != "" {
			return fmt.Errorf("%s: %s", ops[i].Path, r.Err)
		}
	}
	return nil
}
