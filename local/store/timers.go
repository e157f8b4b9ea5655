package store

import "time"

// leaseRetry is how long after a failed expiry the next attempt is made (chosen).
const leaseRetry = 10 * time.Second

// timer is a time.Timer that starts out stopped. That for progress is armed under the store's lock, the others by the
// committer alone.
type timer struct {
	*time.Timer
	armed bool
}

func newTimer() *timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &timer{Timer: t}
}

// arm sets the timer unless it is set.
func (t *timer) arm(d time.Duration) {
	if !t.armed {
		t.armed = true
		t.Reset(d)
	}
}

func (s *Store) stopTimers() {
	s.expiry.Stop()
	s.compaction.Stop()
	s.progress.Stop()
}

// expire ends the leases that are due and sets the timer for the next.
func (s *Store) expire() {
	s.expiry.armed = false
	s.mu.RLock()
	due := s.state.leases.due(time.Now())
	s.mu.RUnlock()
	for len(due) > 0 {
		// A lease holds up to a thousand objects; a few per batch keep writers from waiting.
		n := min(len(due), 4)
		if err := s.commit(nil, due[:n]); err != nil {
			s.expiry.arm(leaseRetry)
			return
		}
		due = due[n:]
	}
	s.rewriteIfDue()
	s.armExpiry()
}

func (s *Store) armExpiry() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if next, ok := s.state.leases.next(); ok {
		s.expiry.armed = true
		s.expiry.Reset(max(time.Until(next), 0))
	}
}

// armCompaction waits for the first change's time to be up. Changes that come in the meantime are looked at then: the
// history reaches back between one and two times CompactAfter, as that of a production cluster does.
func (s *Store) armCompaction() {
	if len(s.state.history.changes) > 0 {
		s.compaction.arm(s.opts.CompactAfter)
	}
}

func (s *Store) compactByAge() {
	s.compaction.armed = false
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.state.history
	h.compact(h.madeBy(time.Now().Add(-s.opts.CompactAfter).UnixMilli()))
	s.armCompaction()
}

// armProgress has watchers told of changes that do not concern them, if some have asked for that.
func (s *Store) armProgress() {
	if s.watchers.progress > 0 {
		s.progress.arm(s.opts.ProgressInterval)
	}
}

func (s *Store) notifyProgress() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.armed = false
	s.watchers.askProgress(s.state.revision)
}
