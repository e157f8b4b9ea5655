//go:build unix

package controllers_test

import (
	"syscall"
	"testing"
	"time"
)

// wakeUps counts how often a thread of the process went to sleep. An idle process pays for little else.
func wakeUps(t testing.TB) int64 {
	t.Helper()
	var u syscall.Rusage
	check(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return int64(u.Nvcsw)
}

// cpuTime is what the process has used.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	check(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
