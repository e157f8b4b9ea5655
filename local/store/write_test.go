package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

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
