package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A watcher that nobody reads must cost no more than the history that all watchers share, and when it falls out of it, its
// client must hear that it has missed something.
func TestAWatcherThatIsTooSlowIsCancelled(t *testing.T) {
	s := openTest(t, func(o *Options) { o.HistoryBytes = 1 << 20 })
	slow := s.Client(t.Context()).Watch(t.Context(), "/k/", clientv3.WithPrefix())
	idle := s.Client(t.Context()).Watch(t.Context(), "/other")
	value := strings.Repeat("x", 64<<10)
	var peak int64
	for range 100 {
		put(t, s, "/k/a", value)
		peak = max(peak, s.Stats().HistoryBytes)
	}
	if peak > 1<<20+70<<10 {
		t.Errorf("the history took %d bytes", peak)
	}
	seen := int64(1)
	for resp := range slow {
		if err := resp.Err(); err != nil {
			if err != rpctypes.ErrCompacted || resp.CompactRevision != s.CompactRevision() {
				t.Errorf("cancelled with %v, compacted %d", err, resp.CompactRevision)
			}
			break
		}
		for _, e := range resp.Events {
			if e.Kv.ModRevision != seen+1 {
				t.Fatalf("revision %d follows %d", e.Kv.ModRevision, seen)
			}
			seen++
		}
	}
	if _, ok := <-slow; ok {
		t.Error("the watch goes on after its cancellation")
	}
	// One that had nothing to send has missed nothing.
	rev := put(t, s, "/other", "")
	want(t, next(t, idle, 1), fmt.Sprintf("/other=@%d", rev))
	if n := s.Stats().Watchers; n != 1 {
		t.Errorf("%d watchers", n)
	}
}

func TestAWatcherIsNotHandedMuchAtOnce(t *testing.T) {
	s := openTest(t)
	for range 20 {
		put(t, s, "a", strings.Repeat("x", 300<<10))
	}
	w := s.Client(t.Context()).Watch(t.Context(), "a", clientv3.WithRev(2))
	for seen := 0; seen < 20; {
		resp := <-w
		var bytes int64
		for _, e := range resp.Events {
			bytes += size(e.Kv) + size(e.PrevKv)
			seen++
		}
		if bytes > maxResponseBytes+600<<10+2 {
			t.Errorf("handed %d bytes at once", bytes)
		}
	}
}

func TestAWatchMayStartInTheFuture(t *testing.T) {
	s := openTest(t)
	w := s.Client(t.Context()).Watch(t.Context(), "a", clientv3.WithRev(4))
	for i := range 4 {
		put(t, s, "a", fmt.Sprint(i))
	}
	want(t, next(t, w, 2), "a=2@4 a=3@5")
}

// Watchers that come and go at any revision, beside writers: each sees each change from there on exactly once.
func TestWatchersThatResumeSeeEachChangeOnce(t *testing.T) {
	s := openTest(t)
	const writers, writes = 4, 100
	const last = firstRevision + writers*writes
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				put(t, s, fmt.Sprintf("/w/%d", w), fmt.Sprint(i))
			}
		})
	}
	for i := range 20 {
		wg.Go(func() {
			for next := int64(firstRevision + 1); next <= last; {
				ctx, cancel := context.WithCancel(t.Context())
				w := s.Client(ctx).Watch(ctx, "/w/", clientv3.WithPrefix(), clientv3.WithRev(next))
				for range 1 + i { // responses, before it comes again
					resp := <-w
					for _, e := range resp.Events {
						if e.Kv.ModRevision != next {
							t.Errorf("watcher %d sees revision %d instead of %d", i, e.Kv.ModRevision, next)
							cancel()
							return
						}
						next++
					}
					if next > last {
						break
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
}
