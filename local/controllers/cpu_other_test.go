//go:build !unix

package controllers_test

import (
	"testing"
	"time"
)

// wakeUps is only known on Unix.
func wakeUps(testing.TB) int64 { return 0 }

// cpuTime is only known on Unix.
func cpuTime(testing.TB) time.Duration { return 0 }
