package controllers

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAskingTwiceWithinAWhileIsAskingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &planned{after: time.Second}
		runs := map[string]int{}
		ask := func(key string) { p.add(key, func() { runs[key]++ }) }
		for range 100 {
			ask("busy")
		}
		ask("other")
		time.Sleep(time.Second)
		synctest.Wait()
		if runs["busy"] != 1 || runs["other"] != 1 {
			t.Errorf("after a second: %v", runs)
		}
		time.Sleep(time.Hour)
		ask("busy")
		time.Sleep(time.Second)
		synctest.Wait()
		if runs["busy"] != 2 {
			t.Errorf("what is asked for later runs again: %v", runs)
		}
	})
}
