// Package fswatch tells when something changed in a set of directories, a burst at a time. It says where, never what:
// whoever gets a burst looks at the files again.
//
// Directories are watched one by one and not recursively, because which subdirectories matter is the caller's business.
// Where the system's notifications don't work (network file systems, exhausted watch limits) a directory is polled.
package fswatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options tune a Watcher. The zero value is good.
type Options struct {
	// Quiet is how long nothing must happen for a burst to be over. Default 30 ms: a save by truncate-then-write or by
	// rename takes 1 to 5 ms, a person saves again after 300.
	Quiet time.Duration
	// Limit is how long a burst may grow before it is delivered anyway. Default 1 s.
	Limit time.Duration
	// Poll is the interval of looking where notifications don't work. Default 500 ms.
	Poll time.Duration
	// ForcePoll looks at intervals everywhere.
	ForcePoll bool
	// Relevant filters paths before they start a burst. It is called from the watcher's goroutine. Default: all.
	Relevant func(path string) bool
	// Hold delays the end of a burst while it returns true, up to Limit: a version control system is at work.
	Hold func() bool
	// Degraded is called, once per directory, when a directory has to be polled.
	Degraded func(dir string, reason error)
}

// Burst is a group of changes that came close together.
type Burst struct {
	// Paths are what changed, as far as is known, without order.
	Paths map[string]bool
	// First and Last are the times of the first and last change noticed.
	First, Last time.Time
	// Overflow says that notifications were lost: anything may have changed.
	Overflow bool
}

// Watcher watches directories. Add and Retain may be called from any goroutine.
type Watcher struct {
	opts   Options
	notify *fsnotify.Watcher // nil when the system offers none
	denied error             // why not
	events chan event
	bursts chan Burst
	wake   chan struct{} // tells the poller that it has something to do

	mu   sync.Mutex
	dirs map[string]*watched // by real path: two names of one directory share a watch; guarded by mu
}

type watched struct {
	info    fs.FileInfo
	polled  bool
	listing map[string]stamp // polled directories only
}

type event struct {
	path     string
	overflow bool
}

// LimitError says that the system allows no more watches.
type LimitError struct {
	// Setting is what limits them, as sysctl names it.
	Setting string
}

func (e *LimitError) Error() string { return "the system's limit " + e.Setting + " is reached" }

// ErrUnsupported is the reason given for directories on file systems that send no notifications.
var ErrUnsupported = errors.New("this file system sends no change notifications")

// New returns a watcher that watches nothing yet. Run must be called for bursts to arrive.
func New(opts Options) *Watcher {
	if opts.Quiet <= 0 {
		opts.Quiet = 30 * time.Millisecond
	}
	if opts.Limit <= 0 {
		opts.Limit = time.Second
	}
	if opts.Poll <= 0 {
		opts.Poll = 500 * time.Millisecond
	}
	if opts.Relevant == nil {
		opts.Relevant = func(string) bool { return true }
	}
	if opts.Hold == nil {
		opts.Hold = func() bool { return false }
	}
	if opts.Degraded == nil {
		opts.Degraded = func(string, error) {}
	}
	w := &Watcher{opts: opts, events: make(chan event, 256), bursts: make(chan Burst), wake: make(chan struct{}, 1), dirs: map[string]*watched{}}
	if !opts.ForcePoll {
		w.notify, w.denied = fsnotify.NewWatcher()
	}
	return w
}

// Bursts delivers what happened. While nobody receives, the pending burst grows.
func (w *Watcher) Bursts() <-chan Burst { return w.bursts }

// Add watches a directory; a second time it only checks that the path still leads to the same directory. It returns
// after the watch is in place, so that a listing made afterwards misses nothing. Changes are reported under the
// directory's real path, without symbolic links.
func (w *Watcher) Add(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("watch directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("watch directory: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.dirs[dir]; ok {
		if os.SameFile(known.info, info) {
			return nil
		}
		w.dropLocked(dir)
	}
	entry := &watched{info: info}
	if reason := w.subscribe(dir); reason != nil {
		entry.polled, entry.listing = true, list(dir)
		select {
		case w.wake <- struct{}{}:
		default:
		}
		defer w.opts.Degraded(dir, reason)
	}
	w.dirs[dir] = entry
	return nil
}

func (w *Watcher) subscribe(dir string) error {
	switch {
	case w.opts.ForcePoll:
		return ErrUnsupported
	case w.notify == nil:
		return limited(w.denied)
	case !notifies(dir):
		return ErrUnsupported
	}
	return limited(w.notify.Add(dir))
}

// Retain stops watching all directories but these.
func (w *Watcher) Retain(keep map[string]bool) {
	real := make(map[string]bool, len(keep))
	for dir := range keep {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			real[resolved] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for dir := range w.dirs {
		if !real[dir] {
			w.dropLocked(dir)
		}
	}
}

func (w *Watcher) dropLocked(dir string) {
	if entry := w.dirs[dir]; entry != nil && !entry.polled && w.notify != nil {
		_ = w.notify.Remove(dir) // it may be gone already, which is the usual reason for dropping it
	}
	delete(w.dirs, dir)
}

// Polled returns how many directories are polled and how many are watched in all.
func (w *Watcher) Polled() (polled, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, entry := range w.dirs {
		if entry.polled {
			polled++
		}
	}
	return polled, len(w.dirs)
}

// Run delivers bursts until the context ends, and then releases the watches.
func (w *Watcher) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if w.notify != nil {
		defer w.notify.Close()
		wg.Go(func() { w.translate(ctx) })
	}
	wg.Go(func() { w.poll(ctx) })
	w.collect(ctx)
	wg.Wait()
}

// translate forwards the system's notifications.
func (w *Watcher) translate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Chmod && !w.isWatched(e.Name) {
				// A readable file may have become unreadable, but indexers and backups touch attributes all the time.
				if _, err := os.Stat(e.Name); err != nil {
					continue
				}
			}
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				w.forget(e.Name)
			}
			w.send(ctx, event{path: e.Name})
		case _, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			// Most often the queue overflowed; after any other error, too, something may have been missed.
			w.send(ctx, event{overflow: true})
		}
	}
}

func (w *Watcher) isWatched(dir string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dirs[dir] != nil
}

// forget drops a directory that was removed or renamed: its watch followed it, and the path may come back as another.
func (w *Watcher) forget(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.dirs[path]; ok {
		w.dropLocked(path)
	}
}

func (w *Watcher) send(ctx context.Context, e event) {
	if !e.overflow && !w.opts.Relevant(filepath.Clean(e.path)) {
		return
	}
	select {
	case w.events <- e:
	case <-ctx.Done():
	}
}

// collect groups events into bursts.
func (w *Watcher) collect(ctx context.Context) {
	var (
		burst Burst
		open  bool
		ready chan Burst // w.bursts once the burst is over
	)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.events:
			now := time.Now()
			if !open {
				burst, open = Burst{Paths: map[string]bool{}, First: now}, true
			}
			burst.Last = now
			burst.Overflow = burst.Overflow || e.overflow
			if e.path != "" {
				burst.Paths[filepath.Clean(e.path)] = true
			}
			ready = nil
			timer.Reset(w.remaining(burst, now))
		case now := <-timer.C:
			if w.opts.Hold() && now.Sub(burst.First) < w.opts.Limit {
				timer.Reset(w.opts.Quiet)
				continue
			}
			ready = w.bursts
		case ready <- burst:
			open, ready = false, nil
		}
	}
}

// remaining is how long to wait for more.
func (w *Watcher) remaining(burst Burst, now time.Time) time.Duration {
	return max(0, min(w.opts.Quiet, burst.First.Add(w.opts.Limit).Sub(now)))
}
