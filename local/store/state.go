package store

import (
	"bytes"
	"fmt"

	"github.com/google/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// state is the objects as of the newest revision and the history that leads there. It knows neither files, nor
// goroutines, nor the time. What it hands out is immutable.
type state struct {
	revision int64
	tree     *btree.BTreeG[*mvccpb.KeyValue]
	history  history
	leases   leases
	bytes    int64 // keys and values in tree
}

func newState() *state {
	return &state{revision: firstRevision, tree: btree.NewG(32, byKey), leases: newLeases()}
}

func byKey(a, b *mvccpb.KeyValue) bool { return bytes.Compare(a.Key, b.Key) < 0 }

func size(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return int64(len(kv.Key) + len(kv.Value))
}

func (s *state) get(key []byte) *mvccpb.KeyValue {
	kv, _ := s.tree.Get(&mvccpb.KeyValue{Key: key})
	return kv
}

// apply makes the next revision.
func (s *state) apply(c change) {
	s.revision = c.kv.ModRevision
	if c.deleted() {
		s.tree.Delete(c.kv)
	} else {
		s.tree.ReplaceOrInsert(c.kv)
		s.bytes += size(c.kv)
	}
	s.bytes -= size(c.prev)
	s.leases.move(c)
	s.history.add(c)
}

// span is a range of keys: [start, end), or start alone where end is empty.
type span struct{ start, end []byte }

// from is etcd's way to write "no upper bound".
const from = "\x00"

func (r span) has(key []byte) bool {
	if len(r.end) == 0 {
		return bytes.Equal(key, r.start)
	}
	return bytes.Compare(key, r.start) >= 0 && r.below(key)
}

func (r span) below(key []byte) bool {
	return string(r.end) == from || bytes.Compare(key, r.end) < 0
}

// selection is what a range holds at a revision.
type selection struct {
	kvs   []*mvccpb.KeyValue // at most limit
	count int64              // all
}

// at reads a range as of a revision; 0 is the newest. Limit 0 is none; a negative limit only counts.
func (s *state) at(r span, revision, limit int64) (selection, error) {
	switch {
	case revision <= 0 || revision == s.revision:
		revision = s.revision
	case revision > s.revision:
		return selection{}, rpctypes.ErrFutureRev
	case revision < s.history.compacted:
		return selection{}, rpctypes.ErrCompacted
	}
	var sel selection
	take := func(kv *mvccpb.KeyValue) {
		sel.count++
		if limit == 0 || sel.count <= limit {
			sel.kvs = append(sel.kvs, kv)
		}
	}
	s.ascend(r, s.history.before(revision, r), take)
	return sel, nil
}

// ascend visits the tree's objects in a range, with older objects, sorted by key, in place of those with the same key; an
// older object that is nil did not exist.
func (s *state) ascend(r span, old []older, take func(*mvccpb.KeyValue)) {
	if len(r.end) == 0 && len(old) == 0 { // by far the most frequent read
		if kv := s.get(r.start); kv != nil {
			take(kv)
		}
		return
	}
	takeOld := func() {
		if old[0].kv != nil {
			take(old[0].kv)
		}
		old = old[1:]
	}
	s.tree.AscendGreaterOrEqual(&mvccpb.KeyValue{Key: r.start}, func(kv *mvccpb.KeyValue) bool {
		if !r.has(kv.Key) {
			return false
		}
		for len(old) > 0 && bytes.Compare(old[0].key, kv.Key) < 0 {
			takeOld()
		}
		if len(old) > 0 && bytes.Equal(old[0].key, kv.Key) {
			takeOld()
		} else {
			take(kv)
		}
		return true
	})
	for len(old) > 0 {
		takeOld()
	}
}

// setBase says that the objects are those of a revision, with no history before.
func (s *state) setBase(revision int64) {
	limit := s.history.limit
	s.revision, s.history = revision, newHistory(revision)
	s.history.limit = limit
}

// load puts an object of the base in place. Objects come in the order of their keys.
func (s *state) load(r record) error {
	if r.kv.Version == 0 || r.kv.ModRevision > s.revision {
		return fmt.Errorf("the record of %q does not belong in a base of revision %d", r.kv.Key, s.revision)
	}
	if last, ok := s.tree.Max(); ok && !byKey(last, r.kv) {
		return fmt.Errorf("the record of %q is out of order", r.kv.Key)
	}
	s.tree.ReplaceOrInsert(r.kv)
	s.bytes += size(r.kv)
	s.leases.adopt(r)
	return nil
}

// replay applies a change that was read from the journal.
func (s *state) replay(r record, at int64) error {
	c := change{kv: r.kv, prev: s.get(r.kv.Key), at: at}
	switch {
	case r.kv.ModRevision != s.revision+1:
		return fmt.Errorf("revision %d follows revision %d", r.kv.ModRevision, s.revision)
	case c.deleted() && c.prev == nil:
		return fmt.Errorf("revision %d deletes %q, which does not exist", r.kv.ModRevision, r.kv.Key)
	case !c.deleted() && r.kv.Version != version(c.prev)+1:
		return fmt.Errorf("revision %d makes version %d of %q out of version %d", r.kv.ModRevision, r.kv.Version, r.kv.Key, version(c.prev))
	}
	s.leases.adopt(r)
	s.apply(c)
	return nil
}

// What does not exist has version and revision 0, as in etcd's comparisons.

func version(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return kv.Version
}

func modRevision(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return kv.ModRevision
}
