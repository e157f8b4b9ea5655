package store

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What a watcher is handed at once is bounded (chosen): it keeps what it was handed in memory when the history has long
// forgotten it.
const (
	maxResponseEvents = 256
	maxResponseBytes  = 1 << 20
)

// watcher is a position in the history. It is owned by its goroutine, except for what its fields say.
type watcher struct {
	span     span
	progress bool // wants to hear of revisions that do not concern it
	wake     chan struct{}

	// next is the oldest revision that may hold a change that the watcher has not sent, 0 if there is none. It is changed
	// under the store's lock, or under its read lock by the watcher's own goroutine.
	next int64
	// first is the revision at which the watch starts; it may be in the future.
	first int64
	// told is the newest revision that the receiver has heard of, and ask that it shall be told the newest. As next.
	told int64
	ask  bool
}

// watchers are all watchers, guarded by the store's lock.
type watchers struct {
	all      map[*watcher]struct{}
	progress int // how many have progress set
}

func (ws *watchers) add(w *watcher) {
	ws.all[w] = struct{}{}
	if w.progress {
		ws.progress++
	}
}

func (ws *watchers) remove(w *watcher) {
	delete(ws.all, w)
	if w.progress {
		ws.progress--
	}
}

func (ws *watchers) notify(c change) {
	for w := range ws.all {
		if w.next == 0 && c.kv.ModRevision >= w.first && w.span.has(c.kv.Key) {
			w.next = c.kv.ModRevision
			w.kick()
		}
	}
}

// askProgress has those watchers that want it, and that have not heard of the newest revision, tell it.
func (ws *watchers) askProgress(newest int64) {
	for w := range ws.all {
		if w.progress && w.told < newest {
			w.ask = true
			w.kick()
		}
	}
}

func (w *watcher) kick() {
	select {
	case w.wake <- struct{}{}:
	default: // it has been woken and has not looked yet
	}
}

// watch starts a watcher. The channel is closed after the watch was cancelled: by ctx, by the end of the store, or with a
// last response that says that it was too far behind.
func (s *Store) watch(ctx context.Context, r span, first int64, progress bool) clientv3.WatchChan {
	w := &watcher{span: r, progress: progress, wake: make(chan struct{}, 1)}
	out := make(chan clientv3.WatchResponse)
	s.mu.Lock()
	w.first = first
	if first <= 0 {
		w.first = s.state.revision + 1
	}
	w.told = min(w.first-1, s.state.revision)
	if w.first <= s.state.revision {
		w.next = w.first
		w.kick()
	}
	s.watchers.add(w)
	if w.told < s.state.revision {
		s.armProgress()
	}
	s.mu.Unlock()

	go func() {
		defer close(out)
		defer func() {
			s.mu.Lock()
			s.watchers.remove(w)
			s.mu.Unlock()
		}()
		for {
			select {
			case <-w.wake:
			case <-ctx.Done():
				return
			case <-s.closing:
				return
			}
			for {
				resp, ok := s.collect(w)
				if !ok {
					break
				}
				select {
				case out <- resp:
				case <-ctx.Done():
					return
				case <-s.closing:
					return
				}
				if resp.Canceled {
					return
				}
			}
		}
	}()
	return out
}

// collect returns what a watcher has to send next.
func (s *Store) collect(w *watcher) (clientv3.WatchResponse, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	newest, compacted := s.state.revision, s.state.history.compacted
	if w.next != 0 && w.next <= compacted {
		return clientv3.WatchResponse{Header: pb.ResponseHeader{Revision: newest}, CompactRevision: compacted, Canceled: true}, true
	}
	if w.next != 0 {
		if events := s.events(w); len(events) > 0 {
			return clientv3.WatchResponse{Header: pb.ResponseHeader{Revision: w.told}, Events: events}, true
		}
	}
	if w.ask {
		w.ask, w.told = false, newest
		return clientv3.WatchResponse{Header: pb.ResponseHeader{Revision: newest}}, true
	}
	return clientv3.WatchResponse{}, false
}

// events takes the watcher forward in the history, until it has enough or is at the end.
func (s *Store) events(w *watcher) []*clientv3.Event {
	var events []*clientv3.Event
	var bytes int64
	for _, c := range s.state.history.since(w.next) {
		if len(events) == maxResponseEvents || bytes >= maxResponseBytes {
			w.next = c.kv.ModRevision
			return events
		}
		if w.span.has(c.kv.Key) {
			events = append(events, event(c))
			bytes += size(c.kv) + size(c.prev)
			w.told = c.kv.ModRevision
		}
	}
	w.next = 0
	return events
}

func event(c change) *clientv3.Event {
	t := clientv3.EventTypePut
	if c.deleted() {
		t = clientv3.EventTypeDelete
	}
	return &clientv3.Event{Type: t, Kv: c.kv, PrevKv: c.prev}
}

// requestProgress has all watchers that want progress tell the newest revision now.
func (s *Store) requestProgress() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers.all {
		if w.progress {
			w.ask = true
			w.kick()
		}
	}
}
