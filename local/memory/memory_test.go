package memory

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"
)

func TestTheFirstQuietPeriodAfterWorkShrinks(t *testing.T) {
	const mb = 1 << 20
	r := rest{before: 400 * mb}
	for i, step := range []struct {
		allocated, live uint64
		want            bool
	}{
		{500 * mb, 20 * mb, false}, {505 * mb, 20 * mb, true}, {510 * mb, 20 * mb, false}, {900 * mb, 20 * mb, false},
		{1000 * mb, 20 * mb, false}, {1001 * mb, 20 * mb, true}, {1002 * mb, 20 * mb, false},
		// Operators at work, by the measure of what they keep.
		{1202 * mb, 300 * mb, false}, {1272 * mb, 300 * mb, true}, {1342 * mb, 300 * mb, false},
	} {
		if got := r.due(step.allocated, step.live); got != step.want {
			t.Errorf("period %d: %v", i, got)
		}
	}
}

// The name of a metric is a string: a wrong one would panic.
func TestMemoryIsCountedAndGivenBack(t *testing.T) {
	before, _ := heap()
	kept := make([]byte, 64<<20)
	for i := 0; i < len(kept); i += 4096 {
		kept[i] = 1
	}
	after, _ := heap()
	if got := after - before; got < 64<<20 {
		t.Fatalf("64 MB count as %d bytes", got)
	}
	full := Resident()
	runtime.KeepAlive(kept)
	shrink(slog.New(slog.DiscardHandler))
	if after := Resident(); full != 0 && after > full-32<<20 {
		t.Errorf("%d of %d bytes are still resident", after, full)
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
