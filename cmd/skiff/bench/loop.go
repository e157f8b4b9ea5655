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
	return b.live(ctx)
}

// watching is a `skiff up` whose events are read.
type watching struct {
	command *exec.Cmd
	lines   *bufio.Scanner
}

// watch begins and returns after the first pass.
func (b *bench) watch(ctx context.Context, dir string) (*watching, error) {
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
	w := &watching{command: up, lines: bufio.NewScanner(output)}
	w.lines.Buffer(nil, 1<<20)
	if err := w.next(event.Watching); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

func (w *watching) next(kind event.Type) error {
	for w.lines.Scan() {
		var e event.Event
		if json.Unmarshal(w.lines.Bytes(), &e) == nil && e.Type == kind {
			return nil
		}
	}
	return errors.Join(errors.New("skiff up ended"), w.lines.Err())
}

func (w *watching) end() {
	_ = w.command.Process.Signal(os.Interrupt)
	_ = w.command.Wait()
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
	up, err := b.watch(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer up.end()
	var took []time.Duration
	for i := range b.rounds {
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := write("saved", fmt.Sprint(i+1)); err != nil {
			return nil, err
		}
		if err := up.next(event.Applied); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	if others > 0 {
		return took, b.atRest(ctx, up.command.Process.Pid)
	}
	return took, nil
}

// atRest reports what the watch costs while nothing happens.
func (b *bench) atRest(ctx context.Context, pid int) error {
	const settled, while = 10 * time.Second, 20 * time.Second
	if err := sleep(ctx, settled); err != nil {
		return err
	}
	before, err := cpuTicks(pid)
	if err != nil {
		return nil //nolint:nilerr // only measured where /proc is
	}
	if err := sleep(ctx, while); err != nil {
		return err
	}
	after, err := cpuTicks(pid)
	if err != nil {
		return err
	}
	const ticksPerSecond = 100
	percent := 100 * float64(after-before) / ticksPerSecond / while.Seconds()
	b.report.add("`skiff up` at rest, 1,000 objects", fmt.Sprintf("%.2f %%", percent), fmt.Sprintf("of one core, over %s, %s after the last save", while, settled))
	return nil
}
