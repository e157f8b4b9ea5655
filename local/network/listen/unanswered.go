package listen

import (
	"net/netip"
	"sync"
	"time"
)

// unanswered counts connections to endpoints that have not sent a byte yet, and may not even have accepted them: those that
// an endpoint which stops would reset.
type unanswered struct {
	mu    sync.Mutex
	began map[netip.Addr]map[*time.Time]struct{} // guarded by mu
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
	}
}

// Unanswered reports whether the endpoint has yet to answer a connection that was made after a time. Older ones wait for
// their client.
func (m *Manager) Unanswered(at netip.Addr, after time.Time) bool {
	m.unanswered.mu.Lock()
	defer m.unanswered.mu.Unlock()
	for began := range m.unanswered.began[at] {
		if began.After(after) {
			return true
		}
	}
	return false
}
