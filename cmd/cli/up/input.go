package up

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/source"
)

// inputSet is the set of what is piped in without a name for it, and what messages call the input.
const inputSet = "stdin"

// takeInput makes a source of standard input, which is there only once. All that is ever piped in without --set is one
// set, of which nothing is pruned: what was piped yesterday did not leave the sources because something else is today.
func (o *Options) takeInput(args []string) error {
	switch {
	case len(args) > 1:
		return exit.With(exit.Usage, errors.New("- (standard input) can't be combined with paths"), "apply one after the other")
	case o.Background || o.Stop:
		return exit.With(exit.Usage, errors.New("standard input can't be watched: it is applied once"), "leave -d and --stop out, or save the manifests in a directory")
	case o.Env.IO.IsInTTY():
		return exit.With(exit.Usage, errors.New("nothing is piped in"), "kustomize build . | skiff up -, or name a directory")
	}
	dir, err := os.MkdirTemp("", "skiff-")
	if err != nil {
		return fmt.Errorf("keep standard input: %w", err)
	}
	o.piped = dir
	path := filepath.Join(dir, inputSet) // its name tells units apart: the same every time
	text, err := io.ReadAll(o.Env.IO.In)
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return exit.With(exit.Manifest, errors.New("nothing came through standard input"), "did the program before the pipe fail?")
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("keep standard input: %w", err)
	}
	o.Sources, o.Once = []source.Source{{Path: path, Name: inputSet}}, true
	if o.Set == "" {
		o.Set, o.Prune = inputSet, string(watch.PruneNone)
	}
	return o.Validate()
}

// dropInput removes what takeInput kept.
func (o *Options) dropInput() {
	if o.piped != "" {
		_ = os.RemoveAll(o.piped)
	}
}
