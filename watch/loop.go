package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"skiff.local/skiff/watch/cluster"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/fswatch"
	"skiff.local/skiff/watch/livesync"
	"skiff.local/skiff/watch/plan"
	"skiff.local/skiff/watch/source"
)

// Retries of what failed but may succeed unchanged; chosen.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
	// onceDeadline is how long an apply without a watch keeps trying such objects.
	onceDeadline = 5 * time.Second
)

// Set is a set of objects that is kept as its sources say.
type Set struct {
	config     Config
	definition Definition
	target     target
	follow     follower
	loader     *source.Loader
	log        *slog.Logger
	watcher    *fswatch.Watcher
	builds     *builds
	places     *places
	syncer     *livesync.Syncer // nil where nothing can be copied into containers
	wake       chan struct{}    // something was put into the inbox

	inboxMu sync.Mutex
	inbox   inbox // guarded by inboxMu

	statusMu sync.Mutex
	status   Status // guarded by statusMu

	emitMu sync.Mutex
	state  *state // the loop's own
}

// inbox is what other goroutines leave for the loop.
type inbox struct {
	gone   []plan.Member
	images map[string]string
	built  []built
}

func (s *Set) emit(e event.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Set = s.definition.Name
	s.emitMu.Lock()
	defer s.emitMu.Unlock()
	s.noteStatus(e)
	s.config.Events(e)
}

func (s *Set) post(leave func(*inbox)) {
	s.inboxMu.Lock()
	leave(&s.inbox)
	s.inboxMu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Set) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.builds.group.Wait()
	defer cancel()
	started := event.Event{Type: event.Started, DryRun: s.config.DryRun}
	for _, src := range s.definition.Sources {
		started.Sources = append(started.Sources, src.Name)
	}
	if s.config.REST != nil {
		started.Message = s.config.REST.Host
	}
	s.emit(started)
	if s.config.Once || s.config.DryRun {
		return s.once(ctx)
	}
	var polled sync.Once
	s.watcher = fswatch.New(fswatch.Options{
		Quiet: s.config.Quiet, Poll: s.config.PollEvery, ForcePoll: s.definition.Poll,
		Relevant: func(path string) bool { return s.loader.Relevant(path) || s.places.Relevant(path) }, Hold: s.gitAtWork,
		Degraded: func(dir string, reason error) {
			if s.definition.Poll {
				return
			}
			polled.Do(func() {
				e := event.Event{Type: event.Note, File: s.nameOf(dir), Message: fmt.Sprintf("looking at the files twice a second instead of being told of changes: %v", reason)}
				if limit := (*fswatch.LimitError)(nil); errors.As(reason, &limit) {
					e.Hint = "`skiff doctor` shows the limit and how to raise it"
				}
				s.emit(e)
			})
		},
	})
	wg.Go(func() { s.watcher.Run(ctx) })
	wg.Go(func() { s.follow.Run(ctx) })
	if s.syncer != nil {
		wg.Go(func() { s.syncer.Run(ctx) })
	}
	if err := s.loop(ctx); err != nil {
		return err
	}
	s.emit(event.Event{Type: event.Stopped, Message: "what was applied stays"})
	return nil
}

// once applies what is there. Objects that may succeed later get some time, because what they wait for is often made
// by the same set: a kind, a namespace's service account.
func (s *Set) once(ctx context.Context) error {
	begun := time.Now()
	var total event.Summary
	for pause := 200 * time.Millisecond; ; pause *= 2 {
		done, err := s.pass(ctx, cause{first: total == event.Summary{}, once: true})
		if err != nil {
			return err
		}
		total.Created += done.Created
		total.Configured += done.Configured
		total.Replaced += done.Replaced
		total.Pruned += done.Pruned
		total.Unchanged, total.Failed, total.Kept = max(total.Unchanged, done.Unchanged), done.Failed, done.Kept
		total.Objects, total.Problems = done.Objects, done.Problems
		if s.config.DryRun || s.state.nextRetry.IsZero() || time.Since(begun)+pause > onceDeadline {
			s.emit(event.Event{Type: event.Applied, Summary: &total, Took: time.Since(begun), DryRun: s.config.DryRun})
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// loop fails only when the person declines the first changes.
func (s *Set) loop(ctx context.Context) error {
	c := cause{first: true, lastChange: time.Now()}
	for ctx.Err() == nil {
		_, err := s.pass(ctx, c)
		switch {
		case errors.Is(err, ErrDeclined):
			return err
		case err != nil && ctx.Err() == nil:
			s.clusterAway(err)
		case s.state.away:
			s.state.away = false
			s.emit(event.Event{Type: event.Note, Message: "the cluster answers again"})
		}
		if c.first && !s.state.away {
			summary := s.summary()
			s.emit(event.Event{Type: event.Watching, Summary: &summary})
		}
		c = s.next(ctx, c.first && s.state.away)
	}
	return nil
}

// next waits until there is a reason for another pass.
func (s *Set) next(ctx context.Context, first bool) cause {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var timeout <-chan time.Time
	if at := s.state.wakeAt(); !at.IsZero() {
		timer.Reset(max(time.Until(at), time.Millisecond))
		timeout = timer.C
	}
	c := cause{first: first, lastChange: time.Now()}
	select {
	case <-ctx.Done():
	case <-timeout:
		c.timer = true
	case <-s.wake:
	case burst := <-s.watcher.Bursts():
		c.burst, c.lastChange = &burst, burst.Last
	}
	c.inbox = s.takeInbox()
	return c
}

func (s *Set) takeInbox() inbox {
	s.inboxMu.Lock()
	defer s.inboxMu.Unlock()
	taken := s.inbox
	s.inbox = inbox{}
	return taken
}

// cause is why a pass is made.
type cause struct {
	first, once, timer bool
	burst              *fswatch.Burst
	lastChange         time.Time
	inbox              inbox
}

// clusterAway makes the set list its members again before it goes on: nobody knows what happened meanwhile.
func (s *Set) clusterAway(err error) {
	s.state.listed = false
	s.state.retryPause = min(max(2*s.state.retryPause, firstRetry), lastRetry/6)
	s.state.nextRetry = time.Now().Add(s.state.retryPause)
	if !s.state.away {
		s.state.away = true
		message := err.Error()
		if cluster.Unreachable(err) {
			message = "the cluster doesn't answer"
		}
		s.emit(event.Event{Type: event.Note, Message: message, Hint: "the set goes on by itself as soon as it can"})
	}
	s.log.Warn("a pass failed", "error", err)
}

// gitAtWork reports whether git is changing the work tree that a source lies in, so that a checkout of hundreds of
// files becomes one burst.
func (s *Set) gitAtWork() bool {
	for _, src := range s.definition.Sources {
		for dir := src.Path; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			git := filepath.Join(dir, ".git")
			if _, err := os.Lstat(git); err != nil {
				continue
			}
			if _, err := os.Lstat(filepath.Join(git, "index.lock")); err == nil {
				return true
			}
			break
		}
	}
	return false
}
