package memory

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"
)

func TestOnlyAQuietDaemonThatHoldsTooMuchShrinks(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name        string
		before, now heap
		want        bool
	}{
		{"quiet, after much work", heap{allocated: 900 * mb}, heap{allocated: 901 * mb, live: 60 * mb, held: 180 * mb}, true},
		{"still working", heap{allocated: 900 * mb}, heap{allocated: 990 * mb, live: 60 * mb, held: 180 * mb}, false},
		{"quiet and small already", heap{allocated: 900 * mb}, heap{allocated: 901 * mb, live: 60 * mb, held: 70 * mb}, false},
	} {
		if got := canShrink(c.before, c.now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// The names of metrics are strings: a wrong one would read as nothing at all, or panic.
func TestTheHeapIsReadAndShrinks(t *testing.T) {
	kept := make([]byte, 64<<20)
	for i := 0; i < len(kept); i += 4096 {
		kept[i] = 1
	}
	before := readHeap()
	if before.allocated < 64<<20 || before.held < 64<<20 {
		t.Fatalf("64 MB are not seen: %+v", before)
	}
	runtime.KeepAlive(kept)
	shrink(slog.New(slog.DiscardHandler))
	if after := readHeap(); after.held > before.held-32<<20 || after.live > before.live+32<<20 {
		t.Errorf("after %+v, before %+v", after, before)
	}
}

func TestCollectionsAreRareOnlyWhileTheyWouldBeFrequent(t *testing.T) {
	pace := idlePercent
	for i, step := range []struct {
		between time.Duration
		want    int
	}{
		{time.Minute, idlePercent}, {500 * time.Millisecond, idlePercent}, {100 * time.Millisecond, busyPercent},
		{time.Second, busyPercent}, {3 * time.Second, idlePercent},
	} {
		if pace = paceOf(pace, step.between); pace != step.want {
			t.Errorf("step %d: %d %%, want %d", i, pace, step.want)
		}
	}
}

func TestCollectionsAreNoticedForAsLongAsTheContextLives(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	through := make(chan time.Time, 1)
	onCollection(ctx, through)
	// A collection that comes before the last one was told of may go by: so others follow until one is noticed.
	noticed := func(within time.Duration) bool {
		for deadline := time.Now().Add(within); time.Now().Before(deadline); {
			runtime.GC()
			select {
			case <-through:
				return true
			case <-time.After(10 * time.Millisecond):
			}
		}
		return false
	}
	for i := range 3 {
		if !noticed(30 * time.Second) {
			t.Fatalf("no collection is noticed after %d were", i)
		}
	}
	cancel()
	noticed(100 * time.Millisecond) // one may have been told of before the end
	if noticed(100 * time.Millisecond) {
		t.Error("collections are told of after the context ended")
	}
}
