package store

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

const (
	crashEnv     = "SKIFF_TEST_CRASH_STORE" // the store's path; the test binary then is the writer that gets killed
	crashWriters = 8
	crashKeys    = 10 // of each writer
	crashPrefix  = "/crash/"

	crashRewriting = "rewriting"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		if err := crashChild(path, os.Getenv(crashEnv+"_ROUND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// crashOptions keep all history, and rewrite the file all the time if its name says so.
func crashOptions(path string) Options {
	o := Options{Path: path, HistoryBytes: 1 << 30, CompactAfter: time.Hour}
	if strings.Contains(path, crashRewriting) {
		o.rewriteSlack = -1 << 40
	}
	return o
}

func crashKey(writer, n int) string {
	return fmt.Sprintf("%s%d/%d", crashPrefix, writer, n%crashKeys)
}

// crashDeletes says which of a writer's operations are deletions, where the key exists.
func crashDeletes(n int) bool { return n%7 == 6 }

func crashValue(round string, writer, n int) []byte {
	v := fmt.Appendf(nil, "%s %d %d %s", round, writer, n, strings.Repeat("x", n*397%3000))
	return fmt.Appendf(v, " %08x", crc32.ChecksumIEEE(v))
}

func crashValueWhole(v []byte) bool {
	i := bytes.LastIndexByte(v, ' ')
	return i > 0 && fmt.Sprintf("%08x", crc32.ChecksumIEEE(v[:i])) == string(v[i+1:])
}

// crashChild writes until it is killed, and says on stdout what was acknowledged and what a watcher saw.
func crashChild(path, round string) error {
	s, err := Open(crashOptions(path))
	if err != nil {
		return err
	}
	ctx := context.Background()
	c := s.Client(ctx)
	fmt.Printf("open %d\n", s.Stats().Revision)
	go func() {
		for resp := range c.Watch(ctx, crashPrefix, clientv3.WithPrefix()) {
			for _, e := range resp.Events {
				fmt.Printf("saw %d %s\n", e.Kv.ModRevision, e.Kv.Key)
			}
		}
	}()
	errs := make(chan error)
	for w := range crashWriters {
		go func() {
			for n := 0; ; n++ {
				key := crashKey(w, n)
				got, err := c.Kubernetes.Get(ctx, key, kubernetes.GetOptions{})
				if err == nil && crashDeletes(n) && got.KV != nil {
					var resp kubernetes.DeleteResponse
					resp, err = c.Kubernetes.OptimisticDelete(ctx, key, modRevision(got.KV), kubernetes.DeleteOptions{})
					fmt.Printf("ack %s %d\n", key, resp.Revision)
				} else if err == nil {
					var resp kubernetes.PutResponse
					resp, err = c.Kubernetes.OptimisticPut(ctx, key, crashValue(round, w, n), modRevision(got.KV), kubernetes.PutOptions{})
					fmt.Printf("ack %s %d\n", key, resp.Revision)
				}
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

// crashReport is what a child said before it died.
type crashReport struct {
	opened bool
	acks   map[int64]string // revision: key
	saw    map[int64]string
}

// runCrashChild kills the process at some moment of its start, or of its writing.
func runCrashChild(t *testing.T, path string, round int, r *rand.Rand) crashReport {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+path, crashEnv+"_ROUND="+strconv.Itoa(round))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	if r.IntN(6) == 0 {
		defer time.AfterFunc(time.Duration(r.IntN(60))*time.Millisecond, kill).Stop()
	}
	rep := crashReport{acks: map[int64]string{}, saw: map[int64]string{}}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line without an end was never said
		}
		f := strings.Fields(line)
		num := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
		switch f[0] {
		case "open":
			rep.opened = true
			defer time.AfterFunc(time.Duration(r.IntN(30_000))*time.Microsecond, kill).Stop()
		case "ack":
			rep.acks[num(2)] = f[1]
		case "saw":
			rep.saw[num(1)] = f[2]
		}
	}
	_ = cmd.Wait()
	if stderr.Len() > 0 {
		t.Fatalf("round %d: the child says: %s", round, stderr.String())
	}
	return rep
}

// TestKilledAtAnyMoment kills a process with concurrent writers a few hundred times. Each time, all acknowledged writes must
// be there, no write half, revisions must have grown, and a watch from the last revision that was looked at must see
// each change once.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 240
	if testing.Short() {
		rounds = 20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const lanes = 3
	var wg sync.WaitGroup
	totals := make([]crashTotals, lanes)
	for lane := range lanes {
		r := rand.New(rand.NewPCG(seed, uint64(lane)))
		path := filepath.Join(t.TempDir(), "state.db")
		if lane == 0 {
			path += crashRewriting
		}
		wg.Go(func() {
			last := int64(firstRevision)
			for round := range rounds / lanes {
				rep := runCrashChild(t, path, round, r)
				last = checkCrash(t, path, round, last, rep, &totals[lane])
				if t.Failed() {
					return
				}
			}
		})
	}
	wg.Wait()
	var sum crashTotals
	for _, c := range totals {
		sum.add(c)
	}
	t.Logf("%d kills: %d before the store was open, %d with an interrupted rewrite left behind; %d acknowledged writes, %d that were not and are there",
		sum.kills, sum.early, sum.rewrites, sum.acked, sum.unacked)
	if sum.acked == 0 {
		t.Error("no write was acknowledged in any round")
	}
}

type crashTotals struct{ kills, early, rewrites, acked, unacked int }

func (c *crashTotals) add(o crashTotals) {
	c.kills += o.kills
	c.early += o.early
	c.rewrites += o.rewrites
	c.acked += o.acked
	c.unacked += o.unacked
}

// checkCrash opens what a killed process left, and returns its revision.
func checkCrash(t *testing.T, path string, round int, last int64, rep crashReport, totals *crashTotals) int64 {
	if _, err := os.Stat(path + ".new"); err == nil {
		totals.rewrites++
	}
	s, err := Open(crashOptions(path))
	if err != nil {
		t.Errorf("round %d: %v", round, err)
		return last
	}
	defer abandon(t, s) // the next process shall find what the killed one left
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := s.Client(ctx)
	now := s.Stats().Revision
	totals.kills++
	totals.acked += len(rep.acks)
	if !rep.opened {
		totals.early++
	}
	if now < last {
		t.Errorf("round %d: revision %d after revision %d", round, now, last)
		return last
	}

	events := map[int64]*mvccpb.KeyValue{}
	if now > last {
		next := last + 1
	watch:
		for resp := range c.Watch(ctx, crashPrefix, clientv3.WithPrefix(), clientv3.WithRev(next)) {
			if err := resp.Err(); err != nil {
				t.Errorf("round %d: watch from %d: %v", round, last+1, err)
				break
			}
			for _, e := range resp.Events {
				if e.Kv.ModRevision != next {
					t.Errorf("round %d: the watch sees revision %d instead of %d", round, e.Kv.ModRevision, next)
					break watch
				}
				if e.Type == clientv3.EventTypePut && !crashValueWhole(e.Kv.Value) {
					t.Errorf("round %d: the value of revision %d is not whole", round, next)
				}
				events[next] = e.Kv
				next++
			}
			if next > now {
				break
			}
		}
	}
	for what, said := range map[string]map[int64]string{"acknowledged": rep.acks, "seen by a watcher": rep.saw} {
		for rev, key := range said {
			if kv := events[rev]; kv == nil || string(kv.Key) != key {
				t.Errorf("round %d: the change of %s in revision %d was %s and is gone: %v", round, key, rev, what, kv)
			}
		}
	}
	// Each writer has one write under way at most.
	unacked := len(events) - len(rep.acks)
	totals.unacked += unacked
	if unacked > crashWriters {
		t.Errorf("round %d: %d changes are there, %d were acknowledged", round, len(events), len(rep.acks))
	}
	checkCrashObjects(t, c, round, events)
	return now
}

// abandon ends a store without the copy that Close makes.
func abandon(t *testing.T, s *Store) {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		if err := s.journal.Close(); err != nil {
			t.Error(err)
		}
	})
}

// checkCrashObjects compares the objects with the changes that made them.
func checkCrashObjects(t *testing.T, c *kubernetes.Client, round int, events map[int64]*mvccpb.KeyValue) {
	list, err := c.Kubernetes.List(context.Background(), crashPrefix, kubernetes.ListOptions{})
	if err != nil {
		t.Errorf("round %d: list: %v", round, err)
		return
	}
	newest := map[string]*mvccpb.KeyValue{}
	for _, kv := range events {
		if old := newest[string(kv.Key)]; old == nil || old.ModRevision < kv.ModRevision {
			newest[string(kv.Key)] = kv
		}
	}
	for _, kv := range list.Kvs {
		if !crashValueWhole(kv.Value) {
			t.Errorf("round %d: the value of %s is not whole", round, kv.Key)
		}
		if want := newest[string(kv.Key)]; want != nil && (want.ModRevision != kv.ModRevision || !bytes.Equal(want.Value, kv.Value)) {
			t.Errorf("round %d: %s is of revision %d, its last change of %d", round, kv.Key, kv.ModRevision, want.ModRevision)
		}
		delete(newest, string(kv.Key))
	}
	for key, kv := range newest {
		if kv.Version != 0 {
			t.Errorf("round %d: %s was put in revision %d and is not there", round, key, kv.ModRevision)
		}
	}
}
