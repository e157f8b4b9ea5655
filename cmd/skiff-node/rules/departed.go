//go:build linux

package rules

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

const (
	// answered is how long attempts on their way to an endpoint that leaves may take to be answered. What is still
	// unanswered then is forgotten, before the endpoint is told to stop (250 ms). Not at once: the kernel lists its flows
	// first and removes them after, and a connection that was made in between would be cut off. Chosen.
	answered = 60 * time.Millisecond
	// lookAgain is how long a port's next connection may go to an endpoint that has just reset the last one. Chosen.
	lookAgain = 500 * time.Millisecond
	// dying is how long an endpoint that has left may still reset connections: its pod has 30 seconds to stop, by default,
	// and the kernel remembers for ten.
	dying = 45 * time.Second
	// share is the part of a processor that looking may take: one of this many.
	share = 20
)

// A departed has the TCP flows to endpoints that have left forgotten, for as long as these may still have any.
type departed struct {
	log  *slog.Logger
	more chan struct{} // another endpoint has left

	mu     sync.Mutex
	fronts map[front]departure // guarded by mu
	busy   bool                // somebody looks; guarded by mu
}

func newDeparted(log *slog.Logger) *departed {
	return &departed{log: log, more: make(chan struct{}, 1), fronts: map[front]departure{}}
}

type departure struct {
	allowed []netip.AddrPort // where the front's flows may go
	until   time.Time
}

// note takes up the endpoints that leave with these changes.
func (d *departed) note(changes []*change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	until := time.Now().Add(dying)
	left := false
	for _, c := range changes {
		for f := range c.left {
			if f.proto == relayproto.TCP {
				d.fronts[f] = departure{allowed: c.now.targets[c.now.fronts[f]].backends, until: until}
				left = true
			}
		}
		for f, chain := range c.now.fronts {
			if known, ok := d.fronts[f]; ok {
				known.allowed = c.now.targets[chain].backends
				d.fronts[f] = known
			}
		}
	}
	if !left {
		return
	}
	select {
	case d.more <- struct{}{}:
	default:
	}
	if !d.busy {
		d.busy = true
		go d.look()
	}
}

// look forgets until nothing is left to be forgotten.
func (d *departed) look() {
	var told string
	pause := lookAgain
	for {
		select {
		case <-d.more:
			time.Sleep(answered)
		case <-time.After(pause):
		}
		begin := time.Now()
		stale := d.stale(begin)
		if stale == nil {
			return
		}
		if err := forget(stale); err != nil && err.Error() != told {
			told = err.Error()
			d.log.Warn("connections may be sent to endpoints that left", "err", err)
		}
		pause = max(lookAgain, share*time.Since(begin))
	}
}

// stale is what to forget now; nil when there is nothing any more, and who looks ends.
func (d *departed) stale(now time.Time) staleFlows {
	d.mu.Lock()
	defer d.mu.Unlock()
	stale := staleFlows{}
	for f, known := range d.fronts {
		if now.After(known.until) {
			delete(d.fronts, f)
			continue
		}
		stale[f] = known.allowed
	}
	if len(stale) == 0 {
		d.busy = false
		return nil
	}
	return stale
}
