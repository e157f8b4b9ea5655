package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"skiff.local/skiff/watch/event"
)

// loopObjects is how many objects lie beside the one that is saved.
const loopObjects = 1000

// loop measures a save while `skiff up` watches: from the write to the acknowledged apply.
func (b *bench) loop(ctx context.Context) error {
	for _, others := range []int{0, loopObjects - 1} {
		took, err := b.saves(ctx, others)
		if err != nil {
			return err
		}
		b.report.times(fmt.Sprintf("a save to its apply, one object of %d", others+1), took, "aim ≤ 100 ms")
	}
	return nil
}

func (b *bench) saves(ctx context.Context, others int) ([]time.Duration, error) {
	dir, err := os.MkdirTemp(b.home, "set-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	write := func(name, value string) error {
		manifest := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  value: %q\n", name, value)
		return os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(manifest), 0o600)
	}
	for i := range others {
		if err := write(fmt.Sprintf("other-%d", i), "same"); err != nil {
			return nil, err
		}
	}
	if err := write("saved", "0"); err != nil {
		return nil, err
	}
	up := exec.CommandContext(ctx, b.bin, "up", "-o", "json", dir)
	up.Env = b.env()
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	output, err := up.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := up.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = up.Process.Signal(os.Interrupt); _ = up.Wait() }()

	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	next := func(kind event.Type) error {
		for lines.Scan() {
			var e event.Event
			if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == kind {
				return nil
			}
		}
		return errors.Join(errors.New("skiff up ended"), lines.Err())
	}
	if err := next(event.Watching); err != nil {
		return nil, err
	}
	var took []time.Duration
	for i := range b.rounds {
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := write("saved", fmt.Sprint(i+1)); err != nil {
			return nil, err
		}
		if err := next(event.Applied); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}
