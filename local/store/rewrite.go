package store

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"skiff.local/skiff/local/store/journal"
)

// The journal is rewritten when what it holds beside the objects is more than the objects and rewriteSlack. So the work of
// rewriting is proportional to that of writing, the file to its content, and the time to open it to that. rewriteSlack
// (chosen) keeps a small store from being rewritten all the time.
const rewriteSlack = 8 << 20

// rewriteRetry (chosen) keeps a rewrite that fails for lack of space from taking the last of it again and again.
const rewriteRetry = time.Minute

// basePayload is the size up to which records are gathered in one payload of the base.
const basePayload = 256 << 10

// snapshot is all that a file has to hold: the objects as of the compacted revision, and the changes since. A rewritten
// file so has the history too, and a restart breaks no watches.
type snapshot struct {
	revision int64
	objects  []*mvccpb.KeyValue
	changes  []change
	expires  map[int64]int64
}

// snapshot is called by the committer, or before it runs. It takes as long as counting the objects.
func (s *Store) snapshot() snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.snapshot(max(s.state.history.compacted, firstRevision))
}

func (s *state) snapshot(revision int64) snapshot {
	sel, err := s.at(span{end: []byte(from)}, revision, 0)
	if err != nil {
		panic(fmt.Sprintf("store: no snapshot of revision %d: %v", revision, err)) // the history begins there
	}
	snap := snapshot{revision: revision, objects: sel.kvs, changes: slices.Clone(s.history.since(revision + 1)), expires: map[int64]int64{}}
	for id, l := range s.leases.byID {
		snap.expires[id] = l.expires
	}
	return snap
}

// expiry gives the end of a lease. One that has ended since, and whose object is only in the past, ended then.
func (s snapshot) expiry(lease int64) int64 { return s.expires[lease] }

func writeBase(w *journal.Writer, s *state) {
	snap := s.snapshot(s.revision)
	snap.writeBase(w)
}

func (s snapshot) writeBase(w *journal.Writer) {
	w.Base(appendHead(nil, s.revision, len(s.objects)))
	b := make([]byte, 0, basePayload+basePayload/4)
	b = append(b, payloadBase)
	for _, kv := range s.objects {
		if b = appendRecord(b, kv, s.expiry); len(b) >= basePayload {
			w.Base(b)
			b = append(b[:0], payloadBase)
		}
	}
	if len(b) > 1 {
		w.Base(b)
	}
}

// writeState writes a whole journal, but does not commit it.
func writeState(w *journal.Writer, s snapshot) {
	s.writeBase(w)
	w.EndBase()
	var b []byte
	for i, c := range s.changes {
		if len(b) == 0 {
			b = appendBatchTime(b, c.at)
		}
		b = appendRecord(b, c.kv, s.expiry)
		if last := i == len(s.changes)-1; last || len(b) >= basePayload || s.changes[i+1].at != c.at {
			w.Batch(b)
			b = b[:0]
		}
	}
}

// rewritten is a new journal file that holds all up to where the journal ended when it was begun.
type rewritten struct {
	w     *journal.Writer
	since int64
	err   error
}

// rewriteIfDue begins a rewrite beside the running store.
func (s *Store) rewriteIfDue() {
	s.mu.RLock()
	held := s.state.bytes + s.state.history.bytes
	s.mu.RUnlock()
	if s.rewriting != nil || s.journal.Size() < 2*held+s.opts.rewriteSlack || time.Now().Before(s.rewriteAfter) {
		return
	}
	res := rewritten{since: s.journal.Size()}
	snap := s.snapshot()
	done := make(chan rewritten, 1)
	s.rewriting = done
	go func() {
		if res.w, res.err = journal.NewWriter(s.opts.Path, s.format); res.err == nil {
			writeState(res.w, snap)
		}
		done <- res
	}()
}

// finishRewrite lets the new file take the old one's place. When it can't, the store goes on with the old one, and the next
// one is tried after rewriteRetry.
func (s *Store) finishRewrite(res rewritten) {
	s.rewriting = nil
	if res.err == nil {
		res.err = s.journal.Replace(res.w, res.since)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if res.err != nil {
		s.rewriteAfter = time.Now().Add(rewriteRetry)
		s.stats.LastError = fmt.Errorf("rewrite store: %w", res.err)
		s.log.Warn("rewriting the store failed, it goes on as it was", "path", s.opts.Path, "err", res.err)
		return
	}
	s.stats.Rewrites++
	s.stats.FileBytes = s.journal.Size()
}

func (s *Store) abortRewrite() {
	if s.rewriting == nil {
		return
	}
	if res := <-s.rewriting; res.w != nil {
		res.w.Abort()
	}
	s.rewriting = nil
}
