package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"skiff.local/skiff/local/store/journal"
)

// Options say where a store is and how it behaves. All but Path may be left zero.
type Options struct {
	// Path is the store's file. Beside it the store keeps Path.lock (the lock, and a note of how much was acknowledged),
	// Path.good (the last good copy) and, for moments, Path.new.
	Path string
	// RestoreCommand is what a DamagedError tells the user to run; it should end in a call of Restore.
	RestoreCommand string
	// CompactAfter is how long changes can be watched from and read at least; 5 minutes, as in a production cluster.
	CompactAfter time.Duration
	// HistoryBytes bounds the memory that past changes take, whatever their age; 16 MiB.
	HistoryBytes int64
	// ProgressInterval is how long after a change those watchers that want progress, and that it does not concern, hear of
	// its revision at the latest; 1 minute, the interval of a production cluster's bookmarks.
	ProgressInterval time.Duration
	Logger           *slog.Logger

	rewriteSlack int64 // see rewriteIfDue; tests set it
}

func (o *Options) complete() error {
	if o.Path == "" {
		return errors.New("open store: no path is given")
	}
	if o.CompactAfter <= 0 {
		o.CompactAfter = 5 * time.Minute
	}
	if o.HistoryBytes <= 0 {
		o.HistoryBytes = 16 << 20
	}
	if o.ProgressInterval <= 0 {
		o.ProgressInterval = time.Minute
	}
	if o.rewriteSlack == 0 {
		o.rewriteSlack = rewriteSlack
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Store is an open store.
type Store struct {
	opts   Options
	log    *slog.Logger
	format uint32 // that is written

	mu       sync.RWMutex
	state    *state   // changed by the committer only, under mu; the committer reads it without
	watchers watchers // guarded by mu
	stats    Stats    // guarded by mu

	requests chan *request
	chores   chan func()

	// The rest is the committer's.
	journal      *journal.Journal
	append       func(payload []byte) error // journal.Append; tests put something in its place
	encoded      []byte                     // its buffer
	several      bool                       // the last batch was of more than one request
	rewriting    chan rewritten             // nil while no rewrite is under way
	rewriteAfter time.Time
	expiry       *timer
	compaction   *timer
	progress     *timer // armed by others too, under mu

	closeOnce sync.Once
	closeErr  error
	closing   chan struct{} // closed by Close
	stopped   chan struct{} // closed when the committer has ended
}

// Open opens the store, or makes an empty one where there is no file. The errors are *DamagedError, *FormatError, ErrInUse
// and those of the file system.
func Open(opts Options) (*Store, error) { return open(opts, currentFormats()) }

func open(opts Options, formats formats) (*Store, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	s := &Store{
		opts: opts, log: opts.Logger,
		watchers: watchers{all: map[*watcher]struct{}{}},
		requests: make(chan *request, maxBatchRequests),
		chores:   make(chan func()),
		expiry:   newTimer(), compaction: newTimer(), progress: newTimer(),
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	start := time.Now()
	l := newLoader(formats)
	l.state.history.limit = opts.HistoryBytes
	j, err := journal.Open(opts.Path, formats.current, func(w *journal.Writer) { writeBase(w, newState()) }, l.handler())
	if err != nil {
		return nil, opts.openError(err)
	}
	s.journal, s.append, s.state, s.format = j, j.Append, l.state, formats.current
	if err := s.upgrade(l); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	s.state.history.compact(s.state.history.madeBy(time.Now().Add(-opts.CompactAfter).UnixMilli()))
	s.stats.Opened, s.stats.FileBytes, s.stats.LoadTime = start, j.Size(), time.Since(start)
	if n := j.Torn(); n > 0 {
		s.log.Info("cut off a write that was interrupted and never acknowledged", "path", opts.Path, "bytes", n)
	}
	s.armExpiry()
	s.armCompaction()
	go s.run()
	return s, nil
}

// Close ends all watches, refuses further writes, writes the last good copy, and releases the file. The store is whole
// also when the copy fails, which the error then says.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		cerr := s.keepCopy()
		if err := s.journal.Close(); err != nil {
			cerr = errors.Join(cerr, fmt.Errorf("close store: %w", err))
		}
		s.closeErr = cerr
	})
	return s.closeErr
}

// CompactRevision returns the newest revision whose past is forgotten: watches start after it, lists read at it or later.
// It makes the store a Compactor for k8s.io/apiserver's etcd3.New.
func (s *Store) CompactRevision() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.history.compacted
}

// do has the committer run f.
func (s *Store) do(f func()) error {
	done := make(chan struct{})
	select {
	case s.chores <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-s.stopped:
		return ErrClosed
	}
}
