package pod

import (
	"context"
	"sync"
	"time"
)

// Slots bound how many operations run at a time. Who finishes something that was begun goes before who begins: when many
// pods come at once, the first ones are then up early instead of all of them late.
type Slots struct {
	mu      sync.Mutex
	free    int
	urgent  []chan struct{}
	waiting []chan struct{}
}

// NewSlots makes n slots.
func NewSlots(n int) *Slots { return &Slots{free: n} }

// take waits for a slot; the caller gives it back.
func (s *Slots) take(ctx context.Context, urgent bool) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	if urgent {
		s.urgent = append(s.urgent, turn)
	} else {
		s.waiting = append(s.waiting, turn)
	}
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		s.forget(turn)
		return ctx.Err()
	}
}

// hold waits for a slot and has it for d at most, or until done is called.
func (s *Slots) hold(ctx context.Context, d time.Duration) (done func(), err error) {
	if err := s.take(ctx, false); err != nil {
		return nil, err
	}
	give := sync.OnceFunc(s.give)
	timer := time.AfterFunc(d, give)
	return func() { timer.Stop(); give() }, nil
}

// forget leaves the queue; a slot that was handed over in the meantime is given on.
func (s *Slots) forget(turn chan struct{}) {
	s.mu.Lock()
	for _, queue := range []*[]chan struct{}{&s.urgent, &s.waiting} {
		for i, c := range *queue {
			if c == turn {
				*queue = append((*queue)[:i:i], (*queue)[i+1:]...)
				s.mu.Unlock()
				return
			}
		}
	}
	s.mu.Unlock()
	s.give()
}

func (s *Slots) give() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, queue := range []*[]chan struct{}{&s.urgent, &s.waiting} {
		if len(*queue) > 0 {
			close((*queue)[0])
			*queue = (*queue)[1:]
			return
		}
	}
	s.free++
}
