package listen

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// unanswered counts connections to endpoints that have not sent a byte yet, and may not even have accepted them: those that
// an endpoint which stops would reset.
type unanswered struct {
	mu    sync.Mutex
	began map[netip.Addr]map[*time.Time]struct{} // guarded by mu
	fewer chan struct{}                          // closed when one is answered; nil while nobody waits; guarded by mu
}

// add notes a connection that was just made, until what it returns is called.
func (u *unanswered) add(to netip.Addr) (answered func()) {
	began := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.began == nil {
		u.began = map[netip.Addr]map[*time.Time]struct{}{}
	}
	if u.began[to] == nil {
		u.began[to] = map[*time.Time]struct{}{}
	}
	u.began[to][&began] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.began[to], &began)
		if len(u.began[to]) == 0 {
			delete(u.began, to)
		}
		if u.fewer != nil {
			close(u.fewer)
			u.fewer = nil
		}
	}
}

// AwaitAnswers returns when the endpoint has answered all connections that were made after a time, or with ctx. Older ones
// wait for their client.
func (m *Manager) AwaitAnswers(ctx context.Context, at netip.Addr, after time.Time) {
	for {
		fewer := m.unanswered.since(at, after)
		if fewer == nil {
			return
		}
		select {
		case <-fewer:
		case <-ctx.Done():
			return
		}
	}
}

// since returns nil when no connection that was made after a time is unanswered, and else what tells that there are fewer.
func (u *unanswered) since(at netip.Addr, after time.Time) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	for began := range u.began[at] {
		if began.After(after) {
			if u.fewer == nil {
				u.fewer = make(chan struct{})
			}
			return u.fewer
		}
	}
	return nil
}
