package controllers_test

import (
	"fmt"
	"runtime"
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
		used, switches, begin := cpuTime(b), wakeUps(b), time.Now()
		time.Sleep(idleFor)
		seconds := time.Since(begin).Seconds()
		b.ReportMetric(100*(cpuTime(b)-used).Seconds()/seconds, "%cpu")
		b.ReportMetric(float64(wakeUps(b)-switches)/seconds, "wakeups/s")
	}
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heapMB")
}

// BenchmarkStart reports how long the controllers take from an API that is ready to caches that are filled, in time and
// in CPU time, which other work on the machine does not lengthen.
func BenchmarkStart(b *testing.B) {
	for range b.N {
		c := startCluster(b)
		b.ReportMetric(float64(c.made.Microseconds())/1000, "made-ms")
		b.ReportMetric(float64(c.ready.Microseconds())/1000, "synced-ms")
		b.ReportMetric(float64(c.readyCPU.Microseconds())/1000, "synced-cpu-ms")
	}
}

// BenchmarkDeployments reports how long 100 Deployments of three take to have 300 pods ready.
func BenchmarkDeployments(b *testing.B) {
	c := startCluster(b)
	for n := range b.N {
		begin, used := time.Now(), cpuTime(b)
		for i := range 100 {
			_, err := c.client.AppsV1().Deployments("default").Create(b.Context(), deployment(fmt.Sprintf("web-%d-%d", n, i), 3), metav1.CreateOptions{})
			check(b, err)
		}
		eventually(b, "300 pods to be ready", func() (bool, string) {
			list, err := c.client.AppsV1().Deployments("default").List(b.Context(), metav1.ListOptions{})
			check(b, err)
			ready := int32(0)
			for _, d := range list.Items {
				ready += d.Status.ReadyReplicas
			}
			return int(ready) == 300*(n+1), fmt.Sprint(ready)
		})
		b.ReportMetric(time.Since(begin).Seconds(), "s/300pods")
		b.ReportMetric((cpuTime(b) - used).Seconds(), "cpu-s/300pods")
	}
}
