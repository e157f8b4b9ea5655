package store

import "time"

// Stats is what there is to say about a store.
type Stats struct {
	Revision        int64
	CompactRevision int64
	Objects         int
	DataBytes       int64 // keys and values of the objects
	HistoryChanges  int
	HistoryBytes    int64 // memory held for past changes alone
	FileBytes       int64
	Leases          int
	Watchers        int

	Opened   time.Time
	LoadTime time.Duration // that Open took

	Commits     int64         // batches made durable
	LastWrite   time.Duration // that the last one took to become durable
	Rewrites    int64         // of the file
	WriteErrors int64         // batches that could not be made durable
	LastError   error         // nil if there was none
}

// Stats takes no longer than a read.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.stats
	st.Revision, st.CompactRevision = s.state.revision, s.state.history.compacted
	st.Objects, st.DataBytes = s.state.tree.Len(), s.state.bytes
	st.HistoryChanges, st.HistoryBytes = len(s.state.history.changes), s.state.history.bytes
	st.Leases, st.Watchers = len(s.state.leases.byID), len(s.watchers.all)
	return st
}
