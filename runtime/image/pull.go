package image

import (
	"context"
	"fmt"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// pullKey tells pulls apart. Credentials are part of it: whoever has none must not ride on another's pull.
type pullKey struct {
	ref  string
	auth docker.RegistryAuth
}

// pull is one pull in flight. Several requests may wait for it; it is cancelled when the last one leaves.
type pull struct {
	tracker *tracker
	waiters int // guarded by the manager's lock
	cancel  context.CancelCauseFunc
	started chan struct{} // closed when it got its turn
	done    chan struct{} // closed at the end
	err     error         // valid after done
}

// join waits for a pull of this image with these credentials, starting it when there is none.
func (m *Manager) join(ctx context.Context, ref Reference, auth docker.RegistryAuth, req Request) (waited time.Duration, err error) {
	began := time.Now()
	key := pullKey{ref.String(), auth}
	m.mu.Lock()
	p, running := m.pulls[key]
	if !running {
		p = &pull{tracker: newTracker(req.Image, began), started: make(chan struct{}), done: make(chan struct{})}
		// It belongs to everyone who waits, so it must not end with the first one's context.
		var pullCtx context.Context
		pullCtx, p.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		m.pulls[key] = p
		go m.run(pullCtx, key, p)
	}
	p.waiters++
	m.mu.Unlock()
	defer m.leave(key, p)

	report := time.NewTicker(m.config.ReportEvery)
	defer report.Stop()
	started := p.started
	for {
		select {
		case <-started:
			started, waited = nil, time.Since(began)
		case <-report.C:
			if progress, _ := p.tracker.snapshot(); started == nil && progress.Layers > 0 {
				req.Notify(Event{Reason: EventPulling, Message: fmt.Sprintf("Pulling image %q: %v", req.Image, progress)})
			}
		case <-p.done:
			return waited, p.err
		case <-ctx.Done():
			return waited, ctx.Err()
		}
	}
}

func (m *Manager) leave(key pullKey, p *pull) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.waiters--; p.waiters > 0 {
		return
	}
	p.cancel(context.Canceled)
	// Whoever comes now must start anew instead of joining a pull that is being cancelled.
	if m.pulls[key] == p {
		delete(m.pulls, key)
	}
}

// run makes one pull.
func (m *Manager) run(ctx context.Context, key pullKey, p *pull) {
	defer close(p.done)
	defer p.cancel(nil)
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		p.err = ctx.Err()
		return
	}
	defer func() { <-m.slots }()
	close(p.started)
	p.tracker.add(docker.PullProgress{}, time.Now())
	stop := m.watchStall(ctx, p)
	defer stop()
	p.err = m.config.Engine.PullImage(ctx, key.ref, docker.PullOptions{
		Auth:     key.auth,
		Progress: func(progress docker.PullProgress) { p.tracker.add(progress, time.Now()) },
	})
	if stalled, ok := context.Cause(ctx).(*docker.Error); ok {
		p.err = stalled
	}
}

// watchStall cancels a pull that shows no progress: a connection that hangs would hang its pods for ever.
func (m *Manager) watchStall(ctx context.Context, p *pull) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			_, last := p.tracker.snapshot()
			left := m.config.Stall - time.Since(last)
			if left <= 0 {
				p.cancel(&docker.Error{
					Op: "pull image", Object: p.tracker.progress.Image, Kind: docker.ErrInternal, Also: docker.ErrRegistry,
					Text: fmt.Sprintf("no progress for %v", m.config.Stall),
				})
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(left):
			}
		}
	}()
	return cancel
}
