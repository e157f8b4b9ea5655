package store

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/etcd/client/v3/kubernetes"
)

// A disk is really filled where the test may mount one; a limit for the size of files, which anybody may set, fails in the
// same places.

func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("skiff-test", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 600<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	testNoSpace(t, dir, true, func() error { return os.Remove(ballast) })
}

func TestALimitForFiles(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	free := func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was) }
	t.Cleanup(func() { _ = free() })
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 300 << 10, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	testNoSpace(t, t.TempDir(), false, free)
}

// testNoSpace fills the store, whose copy has no space either if noCopy is set, until free makes space.
func testNoSpace(t *testing.T, dir string, noCopy bool, free func() error) {
	s := openTest(t, func(o *Options) { o.Path = filepath.Join(dir, "state.db") })
	s = reopen(t, s) // there is a copy, of nothing
	c := s.Client(t.Context()).Kubernetes
	var (
		mu    sync.Mutex
		acked = map[string]int64{}
		wg    sync.WaitGroup
	)
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("/f/%d/%d", w, i)
				resp, err := c.OptimisticPut(t.Context(), key, []byte(strings.Repeat("x", 3000)), 0, kubernetes.PutOptions{})
				if err != nil {
					if !errors.Is(err, ErrNoSpace) {
						t.Errorf("%v is no ErrNoSpace", err)
					}
					return
				}
				mu.Lock()
				acked[key] = resp.Revision
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(acked) < 20 {
		t.Fatalf("only %d writes were acknowledged", len(acked))
	}
	check := func(when string) {
		t.Helper()
		resp, err := s.Client(t.Context()).Kubernetes.List(t.Context(), "/f/", kubernetes.ListOptions{})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if len(resp.Kvs) != len(acked) {
			t.Errorf("%s: %d objects, %d were acknowledged", when, len(resp.Kvs), len(acked))
		}
		for _, kv := range resp.Kvs {
			if acked[string(kv.Key)] != kv.ModRevision {
				t.Errorf("%s: %s has revision %d, acknowledged was %d", when, kv.Key, kv.ModRevision, acked[string(kv.Key)])
			}
		}
	}
	check("full")
	o := s.opts
	abandon(t, s)
	s, err := Open(o)
	if err != nil {
		t.Fatalf("open on a full disk: %v", err)
	}
	defer func() { abandon(t, s) }()
	check("opened on a full disk")
	if err := s.Close(); noCopy && (err == nil || !strings.Contains(err.Error(), "keep a copy")) {
		t.Errorf("Close could make no copy, and says %v", err)
	}
	if s, err = Open(o); err != nil {
		t.Fatalf("open after a close on a full disk: %v", err)
	}
	check("opened again")
	if err := free(); err != nil {
		t.Fatal(err)
	}
	acked["/f/after"] = put(t, s, "/f/after", strings.Repeat("x", 3000))
	check("with space again")
}
