package store

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"time"
)

// leases are the time limits that objects hang on. A lease ends at a time of the wall clock, so that a restart neither
// shortens nor prolongs it.
type leases struct {
	byID  map[int64]*lease
	queue leaseQueue // the next to end first
}

type lease struct {
	id      int64
	ttl     int64 // seconds, as granted
	expires int64 // Unix nanoseconds
	keys    map[string]struct{}
	index   int // in the queue
}

func newLeases() leases { return leases{byID: map[int64]*lease{}} }

func (l *leases) grant(id, ttl int64, now time.Time) *lease {
	return l.add(&lease{id: id, ttl: ttl, expires: now.Add(time.Duration(ttl) * time.Second).UnixNano()})
}

func (l *leases) add(n *lease) *lease {
	n.keys = map[string]struct{}{}
	l.byID[n.id] = n
	heap.Push(&l.queue, n)
	return n
}

// adopt makes the lease of an object that was read from the journal, and hangs the object on it.
func (l *leases) adopt(r record) {
	if r.kv.Lease == 0 {
		return
	}
	n := l.byID[r.kv.Lease]
	if n == nil {
		n = l.add(&lease{id: r.kv.Lease, expires: r.expires})
	}
	n.keys[string(r.kv.Key)] = struct{}{}
}

// move follows a change: the object leaves the lease that it had and hangs on the one that it has.
func (l *leases) move(c change) {
	if c.prev != nil && c.prev.Lease != 0 {
		if n := l.byID[c.prev.Lease]; n != nil {
			delete(n.keys, string(c.kv.Key))
		}
	}
	if c.kv.Lease != 0 {
		l.byID[c.kv.Lease].keys[string(c.kv.Key)] = struct{}{}
	}
}

// expiry is what records store of a lease.
func (l *leases) expiry(id int64) int64 { return l.byID[id].expires }

// next returns when the next lease ends.
func (l *leases) next() (time.Time, bool) {
	if len(l.queue) == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, l.queue[0].expires), true
}

// due returns the leases that have ended, in the order of their ends.
func (l *leases) due(now time.Time) []*lease {
	var d []*lease
	for _, n := range l.queue {
		if n.expires <= now.UnixNano() {
			d = append(d, n)
		}
	}
	slices.SortFunc(d, func(a, b *lease) int { return cmp.Compare(a.expires, b.expires) })
	return d
}

// remove forgets a lease, whose objects are gone.
func (l *leases) remove(n *lease) {
	heap.Remove(&l.queue, n.index)
	delete(l.byID, n.id)
}

func (n *lease) sortedKeys() []string { return slices.Sorted(maps.Keys(n.keys)) }

// leaseQueue implements heap.Interface.
type leaseQueue []*lease

func (q leaseQueue) Len() int           { return len(q) }
func (q leaseQueue) Less(i, j int) bool { return q[i].expires < q[j].expires }
func (q leaseQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *leaseQueue) Push(x any) {
	n := x.(*lease)
	n.index = len(*q)
	*q = append(*q, n)
}
func (q *leaseQueue) Pop() any {
	old := *q
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return n
}
