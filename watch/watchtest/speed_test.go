package watchtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/source"
)

// BenchmarkSave measures from the end of a write to the acknowledged apply, for one object among a thousand, and what a
// restart with nothing changed costs.
func BenchmarkSave(b *testing.B) {
	const objects = 1000
	ns, err := shared.client.CoreV1().Namespaces().Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}, metav1.CreateOptions{})
	check(b, err)
	b.Cleanup(func() {
		_ = shared.client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{})
	})
	dir := b.TempDir()
	write := func(i int, value string) {
		path := filepath.Join(dir, fmt.Sprintf("%02d", i/50), fmt.Sprintf("%04d.yaml", i))
		check(b, os.MkdirAll(filepath.Dir(path), 0o755))
		check(b, os.WriteFile(path, []byte(config(fmt.Sprintf("c%04d", i), value)), 0o644))
	}
	for i := range objects {
		write(i, "0")
	}
	type moment struct {
		event.Event
		at time.Time
	}
	start := func() (moments chan moment, stop func()) {
		moments = make(chan moment, 10*objects)
		set, err := watch.NewSet(watch.Config{
			REST: shared.rest, Definition: watch.Definition{Namespace: ns.Name, Sources: []source.Source{{Path: dir, Name: "k"}}},
			Events: func(e event.Event) { moments <- moment{e, time.Now()} },
		})
		check(b, err)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = set.Run(ctx) }()
		return moments, func() { cancel(); <-ended }
	}
	await := func(moments chan moment, kind event.Type) time.Time {
		for m := range moments {
			if m.Type == kind {
				return m.at
			}
		}
		return time.Time{}
	}
	begun := time.Now()
	moments, stop := start()
	first := await(moments, event.Watching).Sub(begun)
	stop()
	begun = time.Now()
	moments, stop = start()
	defer stop()
	again := await(moments, event.Watching).Sub(begun)

	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		time.Sleep(60 * time.Millisecond) // the next save is a burst of its own
		write(n*37%objects, fmt.Sprint(n+1))
		wrote := time.Now()
		took = append(took, await(moments, event.Applied).Sub(wrote))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "median-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(ms(first), "first-1000-ms")
	b.ReportMetric(ms(again), "restart-1000-ms")
}
