package store

import (
	"bytes"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// changeOverhead is what a change in the history takes beside the object it replaced: the change itself, and the
// headers of a deletion or of an object that only the history still holds (measured, 64-bit).
const changeOverhead = 192

// firstRevision is etcd's revision of an empty store; it belongs to no change.
const firstRevision = 1

// history is all changes after the revision compacted. There is one for each revision.
type history struct {
	compacted int64
	changes   []change
	bytes     int64 // memory that is held for the history alone
	limit     int64 // of bytes; 0: none
}

// newHistory begins where there is a state of a revision, but not what led to it.
func newHistory(revision int64) history {
	if revision == firstRevision {
		return history{} // all is known of an empty store
	}
	return history{compacted: revision}
}

func cost(c change) int64 { return size(c.prev) + changeOverhead }

func (h *history) add(c change) {
	h.changes = append(h.changes, c)
	h.bytes += cost(c)
	if h.limit > 0 && h.bytes > h.limit {
		// Going down by a quarter makes the cost of moving the slice constant per change.
		n, bytes := 0, h.bytes
		for ; n < len(h.changes)-1 && bytes > h.limit-h.limit/4; n++ {
			bytes -= cost(h.changes[n])
		}
		h.drop(n)
	}
}

// drop forgets the n oldest changes.
func (h *history) drop(n int) {
	if n <= 0 {
		return
	}
	for _, c := range h.changes[:n] {
		h.bytes -= cost(c)
	}
	h.compacted = h.changes[n-1].kv.ModRevision
	h.changes = slices.Clone(h.changes[n:]) // a new array, or the old one would hold the forgotten objects
}

// compact forgets all changes up to a revision.
func (h *history) compact(revision int64) {
	h.drop(len(h.changes) - len(h.since(revision+1)))
	h.compacted = max(h.compacted, revision)
}

// madeBy returns the newest revision that was made by a time in Unix milliseconds, or compacted where all are younger.
func (h *history) madeBy(at int64) int64 {
	// Clocks are set back at times, so the times need not ascend: what came before an old change is old too.
	for i := len(h.changes) - 1; i >= 0; i-- {
		if h.changes[i].at <= at {
			return h.changes[i].kv.ModRevision
		}
	}
	return h.compacted
}

// since returns the changes from a revision on; the caller has checked that it is not compacted.
func (h *history) since(revision int64) []change {
	if len(h.changes) == 0 {
		return nil
	}
	i := revision - h.changes[0].kv.ModRevision
	return h.changes[min(max(i, 0), int64(len(h.changes))):]
}

// older is an object as it was; kv is nil where it did not exist.
type older struct {
	key []byte
	kv  *mvccpb.KeyValue
}

// before returns how the objects of a range that changed after a revision were at that revision, sorted by key.
func (h *history) before(revision int64, r span) []older {
	var old []older
	for _, c := range h.since(revision + 1) {
		if r.has(c.kv.Key) {
			old = append(old, older{key: c.kv.Key, kv: c.prev})
		}
	}
	// The first change after the revision knows what was there at the revision.
	slices.SortStableFunc(old, func(a, b older) int { return bytes.Compare(a.key, b.key) })
	return slices.CompactFunc(old, func(a, b older) bool { return bytes.Equal(a.key, b.key) })
}
