//go:build unix

package controllers_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// idleFor is how long an idle cluster is watched. Most periods in it are 30 seconds or less.
const idleFor = 60 * time.Second

// BenchmarkIdle reports what a cluster with ten pods costs while nothing happens, API server and store included, in
// percent of one core: go test -run '^$' -bench Idle -benchtime 1x ./local/controllers
func BenchmarkIdle(b *testing.B) {
	c := startCluster(b)
	_, err := c.client.AppsV1().Deployments("default").Create(b.Context(), deployment("web", 10), metav1.CreateOptions{})
	check(b, err)
	eventually(b, "ten pods", func() (bool, string) {
		d, err := c.client.AppsV1().Deployments("default").Get(b.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 10, fmt.Sprint(d.Status, err)
	})
	time.Sleep(5 * time.Second) // what follows a start settles
	runtime.GC()
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	b.ResetTimer()
	for range b.N {
		used, begin := cpuTime(b), time.Now()
		time.Sleep(idleFor)
		b.ReportMetric(100*(cpuTime(b)-used).Seconds()/time.Since(begin).Seconds(), "%cpu")
	}
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heapMB")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
