package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
