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
	// quietPeriod is how often the daemon looks whether it can shrink again, and how long it has to be quiet before.
	// Chosen: one wake-up a minute does not show in the idle CPU.
	quietPeriod = time.Minute
	// quietAllocs is what a daemon with nothing to do allocates in a quiet period at most: twice the 8 MB that were measured
	// with two pods, a scrape of its metrics included.
	quietAllocs = 16 << 20
	// worthwhile is how much must be gained for a collection to be worth its CPU time. Chosen.
	worthwhile = 24 << 20
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
	before := readHeap()
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
			now := readHeap()
			if canShrink(before, now) {
				shrink(log)
				now = readHeap()
			}
			before = now
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

// A heap is what the runtime says of its memory, in bytes.
type heap struct {
	allocated uint64 // since the process began
	live      uint64 // what the last collection left
	held      uint64 // objects, dead ones included, and free memory not given back
}

// canShrink reports whether the process was quiet between two looks and holds enough memory that nothing needs.
func canShrink(before, now heap) bool {
	return now.allocated-before.allocated < quietAllocs && now.held > now.live+worthwhile
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	return heap{
		allocated: samples[0].Value.Uint64(), live: samples[1].Value.Uint64(),
		held: samples[2].Value.Uint64() + samples[3].Value.Uint64(),
	}
}

// shrink collects, and gives back what is free and what the executable needs no more.
func shrink(log *slog.Logger) {
	debug.FreeOSMemory()
	if err := dropExecutablePages(); err != nil {
		log.Warn("could not give the executable's pages back", "error", err)
	}
}
