// Package memory decides what the daemon trades: CPU time for memory while it has nothing to do, memory for CPU time
// while it works. A laptop has both to spare at different times, and the runtime's one setting can't know which.
package memory

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Garbage collection targets, in percent of what is live. A start allocates fast and keeps little, so collections during
// it are wasted; an idle daemon trades a little CPU for half the heap. Measured: ready in 0.24 s at 400 against 0.28 s at
// 50, 12 MB less at 50.
const (
	startPercent = 400
	busyPercent  = 100
	idlePercent  = 50
)

const (
	// settleAfter is how long after ready the memory of the start is given back. Chosen: informers have synced by then.
	settleAfter = 3 * time.Second
	// quietPeriod is how often the daemon looks whether it is quiet. Chosen: one wake-up a minute does not show in the
	// idle CPU.
	quietPeriod = time.Minute
	// quietAllocs is what a daemon with nothing to do allocates in a quiet period at most: twice the 8 MB that were measured
	// with two pods, a scrape of its metrics included.
	quietAllocs = 16 << 20
	// quietShare is the same for a daemon that keeps much: the part of what is live that it may allocate. Chosen: operators
	// never rest. With six of them and 38 large definitions, 250 MB were live and 72 MB allocated in a minute of peace.
	quietShare = 2
)

// Start prepares the process for its start. Call it first.
func Start() { debug.SetGCPercent(startPercent) }

// Keep takes over once the daemon is ready, and keeps the process small while it has nothing to do: once after the start,
// and again after every time of work, such as the application of a hundred objects and their definitions. It returns
// when ctx ends.
func Keep(ctx context.Context, log *slog.Logger) {
	debug.SetGCPercent(idlePercent)
	collections := make(chan time.Time, 1)
	onCollection(ctx, collections)
	settled := time.NewTimer(settleAfter)
	defer settled.Stop()
	tick := time.NewTicker(quietPeriod)
	defer tick.Stop()
	pace, last := idlePercent, time.Now()
	allocated, _ := heap()
	r := rest{before: allocated}
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-collections:
			if next := paceOf(pace, at.Sub(last)); next != pace {
				pace = next
				debug.SetGCPercent(pace)
			}
			last = at
		case <-settled.C:
			shrink(log)
		case <-tick.C:
			if r.due(heap()) {
				shrink(log)
			}
		}
	}
}

// paceOf is the target for the next collection, by how long after the one before the last one came. The two bounds
// differ, since a larger target makes collections rarer by itself. Chosen; measured below the first, when definitions of
// 5 MB were applied: collections took half of the processor time.
func paceOf(now int, between time.Duration) int {
	switch {
	case between < 300*time.Millisecond:
		return busyPercent
	case between > 2*time.Second:
		return idlePercent
	}
	return now
}

// onCollection sends the time whenever a collection is through, for as long as ctx lives; times that nobody has taken
// yet are enough.
func onCollection(ctx context.Context, through chan<- time.Time) {
	// A pointer keeps it out of the allocator's blocks of tiny objects, whose end is not one's own.
	witness := &struct{ self *int }{}
	runtime.AddCleanup(witness, func(int) {
		if ctx.Err() != nil {
			return
		}
		select {
		case through <- time.Now():
		default:
		}
		onCollection(ctx, through)
	}, 0)
}

// A rest finds the moment to shrink: the first quiet period after work. Once is enough, since what an idle process takes
// back afterwards it needs.
type rest struct {
	before uint64 // what was allocated at the last look
	rested bool   // the process has shrunk and done nothing since
}

// due is told at every period's end how much the process has allocated so far, and how much of it is live, in bytes, and reports
// whether to shrink.
func (r *rest) due(allocated, live uint64) bool {
	quiet := allocated-r.before < max(quietAllocs, live/quietShare)
	r.before = allocated
	shrinks := quiet && !r.rested
	r.rested = quiet
	return shrinks
}

// heap is what the process has allocated since it began, and what the last collection found to be in use, in bytes.
func heap() (allocated, live uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64(), sample[1].Value.Uint64()
}

// shrink collects, and gives back what is free and what the executable needs no more.
func shrink(log *slog.Logger) {
	debug.FreeOSMemory()
	if err := dropExecutablePages(); err != nil {
		log.Warn("could not give the executable's pages back", "error", err)
	}
}
