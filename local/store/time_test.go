package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

func putWithLease(t *testing.T, s *Store, key string, seconds int64) {
	t.Helper()
	c := s.Client(t.Context())
	l, err := c.Grant(t.Context(), seconds)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Kubernetes.OptimisticPut(t.Context(), key, []byte("leased"), 0, kubernetes.PutOptions{LeaseID: l.ID})
	if err != nil || !resp.Succeeded {
		t.Fatalf("put %s: %v", key, err)
	}
}

// after moves the clock, and lets the store do what is due.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// silent fails the test if the store would ever wake up by itself.
func silent(t *testing.T, s *Store) {
	t.Helper()
	synctest.Wait()
	err := s.do(func() {
		if s.expiry.armed || s.compaction.armed || s.progress.armed {
			t.Errorf("timers are set: expiry %v, compaction %v, progress %v", s.expiry.armed, s.compaction.armed, s.progress.armed)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLeasesEndOnTimeAndAlsoAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		putWithLease(t, s, "/e/short", 60)
		putWithLease(t, s, "/e/long", 3600)
		put(t, s, "/e/none", "")
		w := s.Client(t.Context()).Watch(t.Context(), "/e/", clientv3.WithPrefix())
		after(59 * time.Second)
		want(t, listed(t, s, "/e/", 0), "/e/long=leased@3.1 /e/none=@4.1 /e/short=leased@2.1")
		after(time.Second)
		want(t, next(t, w, 1), "-/e/short@5")

		s = reopen(t, s)
		after(58 * time.Minute)
		want(t, listed(t, s, "/e/", 0), "/e/long=leased@3.1 /e/none=@4.1")
		after(time.Minute)
		want(t, listed(t, s, "/e/", 0), "/e/none=@4.1")

		putWithLease(t, s, "/e/over", 60)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		after(time.Hour)
		s = openTest(t, func(o *Options) { *o = s.opts })
		synctest.Wait()
		want(t, listed(t, s, "/e/", 0), "/e/none=@4.1")
		if n := s.Stats().Leases; n != 0 {
			t.Errorf("%d leases are left", n)
		}
	})
}

func TestAnObjectThatIsWrittenAnewLeavesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		putWithLease(t, s, "a", 60)
		put(t, s, "a", "kept")
		s = reopen(t, s)
		after(time.Hour)
		want(t, listed(t, s, "a", 0), "a=kept@3.2")
		silent(t, s)
	})
}

func TestAnExpiryThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		putWithLease(t, s, "a", 60)
		good := s.append
		setAppend(s, func([]byte) error { return errors.New("full") })
		after(2 * time.Minute)
		want(t, listed(t, s, "a", 0), "a=leased@2.1")
		setAppend(s, good)
		after(leaseRetry)
		want(t, listed(t, s, "a", 0), "")
	})
}

func TestThePastIsForgottenAfterFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		silent(t, s)
		for i := range 10 {
			put(t, s, "a", fmt.Sprint(i)) // revisions 2 to 11, one each minute
			after(time.Minute)
		}
		// What is younger than five minutes must be there; what is older may be, up to ten.
		if c := s.CompactRevision(); c < 1 || c > 7 {
			t.Errorf("compacted to %d", c)
		}
		want(t, listed(t, s, "a", 7), "a=5@7.6")
		slow := s.Client(t.Context()).Watch(t.Context(), "a", clientv3.WithRev(8))
		after(10 * time.Minute)
		if c := s.CompactRevision(); c != 11 {
			t.Errorf("compacted to %d", c)
		}
		silent(t, s)
		if _, err := s.Client(t.Context()).Kubernetes.Get(t.Context(), "a", kubernetes.GetOptions{Revision: 7}); err != rpctypes.ErrCompacted {
			t.Errorf("read of the past: %v", err)
		}
		want(t, next(t, slow, 4), "a=6@8 a=7@9 a=8@10 a=9@11") // it had taken them in time
		late := s.Client(t.Context()).Watch(t.Context(), "a", clientv3.WithRev(8))
		if resp := <-late; resp.Err() != rpctypes.ErrCompacted {
			t.Errorf("watch of the past: %v", resp.Err())
		}
		if st := s.Stats(); st.HistoryBytes != 0 || st.HistoryChanges != 0 {
			t.Errorf("the past still takes %d bytes for %d changes", st.HistoryBytes, st.HistoryChanges)
		}
	})
}

func TestThePastIsNotOlderAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		put(t, s, "a", "1")
		after(3 * time.Minute)
		put(t, s, "a", "2")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Minute)
		s = openTest(t, func(o *Options) { *o = s.opts })
		if c := s.CompactRevision(); c != 2 {
			t.Errorf("compacted to %d", c)
		}
		w := s.Client(t.Context()).Watch(t.Context(), "a", clientv3.WithRev(3))
		want(t, next(t, w, 1), "a=2@3")
	})
}

func TestProgressIsToldToThoseWhoAskAndHaveNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		c := s.Client(t.Context())
		asked := c.Watch(t.Context(), "a", clientv3.WithProgressNotify())
		other := c.Watch(t.Context(), "a")
		silent(t, s)
		put(t, s, "a", "")
		next(t, asked, 1)
		next(t, other, 1)
		after(time.Minute)
		select {
		case resp := <-asked:
			t.Errorf("told %v, but it knows", resp)
		default:
		}
		put(t, s, "b", "")
		after(30 * time.Second)
		put(t, s, "b", "")
		after(30 * time.Second)
		if resp := <-asked; !resp.IsProgressNotify() || resp.Header.Revision != 4 {
			t.Errorf("told %v", resp)
		}
		if err := c.RequestProgress(t.Context()); err != nil {
			t.Fatal(err)
		}
		if resp := <-asked; !resp.IsProgressNotify() || resp.Header.Revision != 4 {
			t.Errorf("told %v", resp)
		}
		after(time.Hour)
		select {
		case resp := <-asked:
			t.Errorf("told %v again", resp)
		case resp := <-other:
			t.Errorf("told %v without having asked", resp)
		default:
		}
		silent(t, s)
	})
}

func TestARewriteThatFailsIsTriedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t, func(o *Options) { o.rewriteSlack = -1 << 40 })
		// There is something in the way of the new file.
		obstacle := s.opts.Path + ".new"
		if err := os.MkdirAll(filepath.Join(obstacle, "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, s, "a", "1")
		synctest.Wait()
		first := s.Stats().LastError
		if first == nil {
			t.Fatal("no error")
		}
		put(t, s, "a", "2")
		synctest.Wait()
		if s.Stats().LastError != first {
			t.Error("it was tried again at once")
		}
		if err := os.RemoveAll(obstacle); err != nil {
			t.Fatal(err)
		}
		after(rewriteRetry)
		put(t, s, "a", "3")
		synctest.Wait()
		if n := s.Stats().Rewrites; n != 1 {
			t.Errorf("%d rewrites", n)
		}
		s = reopen(t, s)
		want(t, listed(t, s, "a", 0), "a=3@4.3")
	})
}
