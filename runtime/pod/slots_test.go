package pod

import (
	"context"
	"testing"
	"testing/synctest"
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
