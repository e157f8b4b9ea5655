package pod

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoFinishesGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1)
		ctx := context.Background()
		if err := s.take(ctx, false); err != nil {
			t.Fatal(err)
		}
		var order []string
		wait := func(name string, urgent bool) {
			go func() {
				if s.take(ctx, urgent) == nil {
					order = append(order, name)
					s.give()
				}
			}()
			synctest.Wait()
		}
		wait("begins", false)
		wait("finishes", true)
		cancelled, cancel := context.WithCancel(ctx)
		go func() { _ = s.take(cancelled, true) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		s.give()
		synctest.Wait()
		if len(order) != 2 || order[0] != "finishes" || s.free != 1 {
			t.Errorf("order %v, free %d", order, s.free)
		}
	})
}

func TestASlotIsHeldForAWhileAtMost(t *testing.T) {
	s := NewSlots(1)
	done, err := s.hold(t.Context(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.take(t.Context(), false); err != nil { // once the while is over
		t.Fatal(err)
	}
	done()
	if s.free != 0 {
		t.Errorf("a slot was given back twice: %d are free", s.free)
	}
	s.give()
	if done, err = s.hold(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	done()
	if s.free != 1 {
		t.Errorf("%d slots are free, want 1", s.free)
	}
}
