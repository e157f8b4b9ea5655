package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

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
