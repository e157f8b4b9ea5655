package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

func openTest(t testing.TB, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Path: filepath.Join(t.TempDir(), "state.db")}
	for _, f := range change {
		f(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// The helpers below fail the test on any error.

func put(t testing.TB, s *Store, key, value string) int64 {
	t.Helper()
	resp, err := s.Client(t.Context()).KV.Put(t.Context(), key, value)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return resp.Header.Revision
}

func remove(t testing.TB, s *Store, key string) int64 {
	t.Helper()
	resp, err := s.Client(t.Context()).KV.Delete(t.Context(), key)
	if err != nil {
		t.Fatalf("delete %s: %v", key, err)
	}
	return resp.Header.Revision
}

// listed returns all of a prefix at a revision as "key=value@revision.version".
func listed(t testing.TB, s *Store, prefix string, revision int64) string {
	t.Helper()
	resp, err := s.Client(t.Context()).Kubernetes.List(t.Context(), prefix, kubernetes.ListOptions{Revision: revision})
	if err != nil {
		t.Fatalf("list %s at %d: %v", prefix, revision, err)
	}
	var l []string
	for _, kv := range resp.Kvs {
		l = append(l, fmt.Sprintf("%s=%s@%d.%d", kv.Key, kv.Value, kv.ModRevision, kv.Version))
	}
	if int64(len(l)) != resp.Count {
		t.Errorf("%d listed, %d counted", len(l), resp.Count)
	}
	return strings.Join(l, " ")
}

// next returns n events of a watch as "key=value@revision", "-key@revision" for a deletion.
func next(t testing.TB, w clientv3.WatchChan, n int) string {
	t.Helper()
	var l []string
	for len(l) < n {
		resp, ok := <-w
		if !ok || resp.Err() != nil {
			t.Fatalf("the watch ended after %v: %v", l, resp.Err())
		}
		for _, e := range resp.Events {
			if e.Type == clientv3.EventTypeDelete {
				l = append(l, fmt.Sprintf("-%s@%d", e.Kv.Key, e.Kv.ModRevision))
			} else {
				l = append(l, fmt.Sprintf("%s=%s@%d", e.Kv.Key, e.Kv.Value, e.Kv.ModRevision))
			}
		}
	}
	return strings.Join(l, " ")
}

func want(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openTest(t, func(o *Options) { *o = s.opts })
}

func TestOptimisticWritesChangeOnlyWhatTheyExpect(t *testing.T) {
	s := openTest(t)
	c, ctx := s.Client(t.Context()).Kubernetes, t.Context()
	check := func(what string, succeeded bool, revision int64, err error, wantSucceeded bool, wantRevision int64) {
		t.Helper()
		if err != nil || succeeded != wantSucceeded || revision != wantRevision {
			t.Errorf("%s: succeeded %v, revision %d, error %v; want %v, %d", what, succeeded, revision, err, wantSucceeded, wantRevision)
		}
	}
	p, err := c.OptimisticPut(ctx, "a", []byte("1"), 0, kubernetes.PutOptions{})
	check("create", p.Succeeded, p.Revision, err, true, 2)
	p, err = c.OptimisticPut(ctx, "a", []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true})
	check("create what exists", p.Succeeded, p.Revision, err, false, 2)
	if p.KV == nil || string(p.KV.Value) != "1" {
		t.Errorf("the failed create returns %v", p.KV)
	}
	p, err = c.OptimisticPut(ctx, "a", []byte("2"), 2, kubernetes.PutOptions{})
	check("update", p.Succeeded, p.Revision, err, true, 3)
	d, err := c.OptimisticDelete(ctx, "a", 2, kubernetes.DeleteOptions{GetOnFailure: true})
	check("delete an old revision", d.Succeeded, d.Revision, err, false, 3)
	if d.KV == nil || string(d.KV.Value) != "2" {
		t.Errorf("the failed delete returns %v", d.KV)
	}
	d, err = c.OptimisticDelete(ctx, "a", 3, kubernetes.DeleteOptions{})
	check("delete", d.Succeeded, d.Revision, err, true, 4)
	d, err = c.OptimisticDelete(ctx, "a", 0, kubernetes.DeleteOptions{})
	check("delete nothing, as expected", d.Succeeded, d.Revision, err, true, 4)
	p, err = c.OptimisticPut(ctx, "a", []byte("3"), 3, kubernetes.PutOptions{GetOnFailure: true})
	check("update what is gone", p.Succeeded, p.Revision, err, false, 4)
	if p.KV != nil {
		t.Errorf("the failed update returns %v", p.KV)
	}
}

func TestAStoreIsTheSameAfterItIsOpenedAgain(t *testing.T) {
	s := openTest(t)
	for i := range 50 {
		put(t, s, fmt.Sprintf("/a/%02d", i%10), fmt.Sprint(i))
	}
	remove(t, s, "/a/03")
	put(t, s, "/a/03", "again")
	remove(t, s, "/a/04")
	before, at30 := listed(t, s, "/", 0), listed(t, s, "/", 30)
	s = reopen(t, s)
	want(t, listed(t, s, "/", 0), before)
	want(t, listed(t, s, "/", 30), at30)
	if rev := put(t, s, "/b", ""); rev != 55 {
		t.Errorf("the next revision is %d, want 55", rev)
	}
	w := s.Client(t.Context()).Watch(t.Context(), "/a/03", clientv3.WithRev(40))
	want(t, next(t, w, 3), "/a/03=43@45 -/a/03@52 /a/03=again@53")
}

func TestAStoreIsOpenOnceAtATime(t *testing.T) {
	s := openTest(t)
	if _, err := Open(s.opts); !errors.Is(err, ErrInUse) {
		t.Errorf("Open: %v", err)
	}
	if _, err := Restore(s.opts.Path); !errors.Is(err, ErrInUse) {
		t.Errorf("Restore: %v", err)
	}
}

// setAppend puts something in the place of the journal.
func setAppend(s *Store, f func([]byte) error) {
	if err := s.do(func() { s.append = f }); err != nil {
		panic(err)
	}
}

// gate holds back appends, and fails them where told.
type gate struct {
	append  func([]byte) error
	entered chan struct{}
	leave   chan error
}

func holdAppends(s *Store) *gate {
	g := &gate{append: s.append, entered: make(chan struct{}), leave: make(chan error)}
	setAppend(s, func(b []byte) error {
		g.entered <- struct{}{}
		if err := <-g.leave; err != nil {
			return err
		}
		return g.append(b)
	})
	return g
}

// queued waits until n requests wait for the committer.
func queued(s *Store, n int) {
	for len(s.requests) < n {
	}
}

func TestAWriteIsSeenByNobodyBeforeItIsDurable(t *testing.T) {
	s := openTest(t)
	put(t, s, "a", "1")
	w := s.Client(t.Context()).Watch(t.Context(), "a")
	g := holdAppends(s)
	done := make(chan int64)
	go func() { done <- put(t, s, "a", "2") }()
	<-g.entered
	want(t, listed(t, s, "a", 0), "a=1@2.1")
	select {
	case resp := <-w:
		t.Errorf("a watcher saw %v", resp.Events)
	case rev := <-done:
		t.Errorf("revision %d was acknowledged", rev)
	default:
	}
	g.leave <- nil
	if rev := <-done; rev != 3 {
		t.Errorf("revision %d", rev)
	}
	want(t, next(t, w, 1), "a=2@3")
}

func TestOneBatchServesAllThatWait(t *testing.T) {
	s := openTest(t)
	g := holdAppends(s)
	c := s.Client(t.Context()).Kubernetes
	var wg sync.WaitGroup
	wg.Go(func() { put(t, s, "first", "") })
	<-g.entered
	const n = 40
	var mu sync.Mutex
	revisions, lost := map[int64]bool{}, 0
	for i := range n {
		wg.Go(func() {
			// Each key is created twice in the same batch.
			resp, err := c.OptimisticPut(t.Context(), fmt.Sprint(i%(n/2)), []byte("x"), 0, kubernetes.PutOptions{GetOnFailure: true})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case resp.Succeeded:
				revisions[resp.Revision] = true
			case resp.KV == nil || resp.KV.ModRevision > resp.Revision:
				t.Errorf("the failed create returns %v at revision %d", resp.KV, resp.Revision)
			default:
				lost++
			}
		})
	}
	queued(s, n)
	g.leave <- nil
	<-g.entered
	g.leave <- nil
	wg.Wait()
	if len(revisions) != n/2 || lost != n/2 {
		t.Errorf("%d revisions, %d refused, want %d each", len(revisions), lost, n/2)
	}
	if st := s.Stats(); st.Commits != 2 || st.Revision != 2+n/2 {
		t.Errorf("%d commits, revision %d", st.Commits, st.Revision)
	}
}

func TestAFailedWriteChangesNothing(t *testing.T) {
	s := openTest(t)
	put(t, s, "a", "1")
	w := s.Client(t.Context()).Watch(t.Context(), "", clientv3.WithPrefix())
	g := holdAppends(s)
	errs := make(chan error)
	write := func(key string) {
		_, err := s.Client(t.Context()).KV.Put(t.Context(), key, "x")
		errs <- err
	}
	go write("a")
	<-g.entered
	go write("b")
	queued(s, 1)
	broken := errors.New("broken")
	g.leave <- broken
	if err := <-errs; !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	<-g.entered
	g.leave <- nil
	if err := <-errs; err != nil {
		t.Error(err)
	}
	want(t, listed(t, s, "", 0), "a=1@2.1 b=x@3.1")
	want(t, next(t, w, 1), "b=x@3")
	if st := s.Stats(); st.WriteErrors != 1 || !errors.Is(st.LastError, broken) {
		t.Errorf("%d write errors, last %v", st.WriteErrors, st.LastError)
	}
	setAppend(s, g.append)
	s = reopen(t, s)
	want(t, listed(t, s, "", 0), "a=1@2.1 b=x@3.1")
}

func TestARequestWhoseCallerHasGoneIsNotCarriedOut(t *testing.T) {
	s := openTest(t)
	g := holdAppends(s)
	done := make(chan struct{})
	go func() { defer close(done); put(t, s, "first", "") }()
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() {
		_, err := s.Client(t.Context()).KV.Put(ctx, "late", "")
		errs <- err
	}()
	queued(s, 1)
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	g.leave <- nil
	<-done
	setAppend(s, g.append)
	put(t, s, "second", "")
	want(t, listed(t, s, "", 0), "first=@2.1 second=@3.1")
}

func TestAClosedStoreRefusesWritesAndEndsWatches(t *testing.T) {
	s := openTest(t)
	c := s.Client(t.Context())
	w := c.Watch(t.Context(), "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-w; ok {
		t.Error("the watch goes on")
	}
	if _, err := c.KV.Put(t.Context(), "a", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("put: %v", err)
	}
	if _, err := c.Grant(t.Context(), 10); !errors.Is(err, ErrClosed) {
		t.Errorf("grant: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestRequestsThatEtcdRefusesAreRefused(t *testing.T) {
	s := openTest(t)
	c := s.Client(t.Context())
	if _, err := c.KV.Put(t.Context(), "large", strings.Repeat("x", maxRequest)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("a value of 1.5 MiB: %v", err)
	}
	if _, err := c.Kubernetes.OptimisticPut(t.Context(), "a", nil, 0, kubernetes.PutOptions{LeaseID: 1}); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("an unknown lease: %v", err)
	}
	if _, err := c.Kubernetes.Get(t.Context(), "a", kubernetes.GetOptions{Revision: 99}); err != rpctypes.ErrFutureRev {
		t.Errorf("a future revision: %v", err)
	}
	if _, err := c.KV.Compact(t.Context(), 99); err != rpctypes.ErrFutureRev {
		t.Errorf("compaction of the future: %v", err)
	}
}

func TestPagesOfOneRevisionStayTheSame(t *testing.T) {
	s := openTest(t)
	for i := range 10 {
		put(t, s, fmt.Sprintf("/p/%d", i), "old")
	}
	rev := s.Stats().Revision
	remove(t, s, "/p/2")
	put(t, s, "/p/3", "new")
	put(t, s, "/p/35", "new")
	remove(t, s, "/p/9")
	var keys []string
	o := kubernetes.ListOptions{Revision: rev, Limit: 3}
	for remaining := int64(10); ; remaining -= 3 {
		resp, err := s.Client(t.Context()).Kubernetes.List(t.Context(), "/p/", o)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Count != remaining {
			t.Errorf("count %d, want %d", resp.Count, remaining)
		}
		for _, kv := range resp.Kvs {
			keys = append(keys, string(kv.Key)+string(kv.Value))
		}
		if int64(len(resp.Kvs)) == resp.Count {
			break
		}
		o.Continue = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
	want(t, strings.Join(keys, " "), "/p/0old /p/1old /p/2old /p/3old /p/4old /p/5old /p/6old /p/7old /p/8old /p/9old")
}

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

func TestTheFileIsRewrittenWhenItHoldsMostlyThePast(t *testing.T) {
	s := openTest(t, func(o *Options) { o.HistoryBytes, o.rewriteSlack = 64<<10, 256<<10 })
	value := strings.Repeat("x", 10<<10)
	for i := range 200 {
		put(t, s, fmt.Sprintf("/r/%d", i%5), fmt.Sprint(i, value))
	}
	for s.Stats().Rewrites == 0 { // it happens beside the writes
		put(t, s, "/r/0", value)
	}
	if st := s.Stats(); st.FileBytes > 1<<20 {
		t.Errorf("%d objects of %d bytes take %d in the file", st.Objects, st.DataBytes, st.FileBytes)
	}
	before, rev := listed(t, s, "/r/", 0), s.Stats().Revision
	s = reopen(t, s)
	want(t, listed(t, s, "/r/", 0), before)
	if got := s.Stats().Revision; got != rev {
		t.Errorf("revision %d, want %d", got, rev)
	}
}

func TestOpenNeedsAPathThatCanBeUsed(t *testing.T) {
	if _, err := Open(Options{}); err == nil {
		t.Error("no path: no error")
	}
	if _, err := Open(Options{Path: filepath.Join(t.TempDir(), "no", "such", "directory", "state.db")}); err == nil {
		t.Error("no directory: no error")
	}
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
