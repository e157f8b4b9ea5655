package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"skiff.local/skiff/local/profile"
)

// startTimeout bounds a start. Chosen: the slowest step, loading the helper image into a busy engine, takes seconds.
const startTimeout = 90 * time.Second

// Ensure returns the profile's daemon and starts it when it isn't running. progress, which may be nil, is told each
// phase as it ends. It does not touch the user's kubeconfig.
func Ensure(ctx context.Context, p *profile.Profile, o StartOptions, progress func(Event)) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if progress == nil {
		progress = func(Event) {}
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	for {
		c, err := ensureOnce(ctx, p, o, progress)
		if err != nil || !o.WaitDNS && !o.Probe {
			return c, err
		}
		ask := c.Ready
		if !o.WaitDNS {
			ask = c.answers
		}
		if err = ask(ctx); err == nil {
			return c, nil
		}
		// A process that was killed holds its lock for some milliseconds more. One that goes on holding it hangs.
		f := AsFailure(err)
		if c.Started || f == nil || f.Reason != ReasonNotRunning || !ends(ctx, p) {
			return nil, err
		}
	}
}

// dying is how long a killed daemon may take to let its lock go. Chosen: the system takes back some hundred megabytes.
const dying = 5 * time.Second

func ends(ctx context.Context, p *profile.Profile) bool {
	ctx, cancel := context.WithTimeout(ctx, dying)
	defer cancel()
	return waitFor(ctx, 5*time.Millisecond, func() (bool, error) { return !p.Running(), nil }) == nil
}

func ensureOnce(ctx context.Context, p *profile.Profile, o StartOptions, progress func(Event)) (*Cluster, error) {
	started := false
	if !p.Running() {
		err := spawn(ctx, p, o, progress)
		if f := AsFailure(err); f != nil && f.Reason == ReasonAlreadyRunning {
			err = nil // somebody else's start won the race: it will do
		}
		if err != nil {
			return nil, err
		}
		started = true
	}
	var cluster *Cluster
	err := waitFor(ctx, 20*time.Millisecond, func() (bool, error) {
		var err error
		cluster, err = Connect(p)
		if f := AsFailure(err); f != nil && f.Reason == ReasonNotRunning && p.Running() {
			return false, nil
		}
		return err == nil, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &Failure{Reason: ReasonTimeout, Message: fmt.Sprintf("the daemon of profile %q did not become ready within %s", p.Name, startTimeout), Hint: "look at " + p.LogPath()}
	}
	if err != nil {
		return nil, err
	}
	cluster.Started = started
	return cluster, nil
}

// spawn starts the daemon's process, detached from this one, and follows its events until the phase the caller waits
// for. The daemon closes its standard output when it is ready, so the pipe's end tells a crash from a long start.
func spawn(ctx context.Context, p *profile.Profile, o StartOptions, progress func(Event)) error {
	program, err := Program()
	if err != nil {
		return err
	}
	if err := p.MakeDir(); err != nil {
		return &Failure{Reason: ReasonHome, Message: err.Error(), Hint: "set " + profile.EnvHome + " to a folder you can write to"}
	}
	log, err := os.OpenFile(p.LogPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return &Failure{Reason: ReasonHome, Message: fmt.Sprintf("open the daemon's log: %v", err), Hint: "set " + profile.EnvHome + " to a folder you can write to"}
	}
	defer log.Close()

	command := exec.Command(program, o.Args(p)...)
	command.Dir = p.Dir
	command.Env = append(os.Environ(), profile.EnvHome+"="+filepath.Dir(p.Dir))
	command.Stderr = log
	detach(command)
	output, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	defer func() { _ = command.Process.Release() }()

	until := PhaseAPI
	if o.WaitDNS {
		until = PhaseReady
	}
	result := make(chan error, 1)
	go func() { result <- follow(output, until, progress, p) }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return &Failure{Reason: ReasonTimeout, Message: fmt.Sprintf("the daemon of profile %q did not become ready: %v", p.Name, ctx.Err()), Hint: "look at " + p.LogPath()}
	}
}

func follow(output io.Reader, until Phase, progress func(Event), p *profile.Profile) error {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // not ours: a library printed something
		}
		if e.Failure != nil {
			return e.Failure
		}
		progress(e)
		if e.Phase == until {
			return nil
		}
	}
	return &Failure{
		Reason:  ReasonInternal,
		Message: fmt.Sprintf("the daemon of profile %q ended before it was ready", p.Name),
		Hint:    "its last words are in " + p.LogPath(),
	}
}
