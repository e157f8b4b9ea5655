package store

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// benchValue has the size of a Deployment with its managed fields.
var benchValue = []byte(strings.Repeat("0123456789abcdef", 128))

func benchPut(b *testing.B, s *Store, key string) {
	resp, err := s.Client(b.Context()).Kubernetes.OptimisticPut(b.Context(), key, benchValue, 0, kubernetes.PutOptions{})
	if err != nil || !resp.Succeeded {
		b.Error(key, err)
	}
}

func BenchmarkWriteSerial(b *testing.B) {
	s := openTest(b)
	for i := 0; b.Loop(); i++ {
		benchPut(b, s, fmt.Sprint("/w/", i))
	}
}

func BenchmarkWriteParallel(b *testing.B) {
	for _, writers := range []int{4, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			s := openTest(b)
			var n atomic.Int64
			b.SetParallelism(writers / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					benchPut(b, s, fmt.Sprint("/w/", n.Add(1)))
				}
			})
			b.ReportMetric(float64(b.N)/float64(s.Stats().Commits), "writes/sync")
		})
	}
}

// BenchmarkWriteWatched has as many watchers as a daemon with all controllers, of which one is concerned.
func BenchmarkWriteWatched(b *testing.B) {
	s := openTest(b)
	for i := range 300 {
		w := s.Client(b.Context()).Watch(b.Context(), fmt.Sprintf("/w%d/", i), clientv3.WithPrefix())
		go func() {
			for range w {
			}
		}()
	}
	for i := 0; b.Loop(); i++ {
		benchPut(b, s, fmt.Sprint("/w7/", i))
	}
}

func fill(b *testing.B, s *Store, objects int) {
	b.Helper()
	done := make(chan struct{})
	const writers = 64
	for w := range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := w; i < objects; i += writers {
				benchPut(b, s, fmt.Sprintf("/registry/configmaps/default/object-%06d", i))
			}
		}()
	}
	for range writers {
		<-done
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkRestart opens a store of objects of 2 KiB: as the daemon finds it after a clean stop a day ago, and as it finds
// it after a crash, with all that was written still in the history.
func BenchmarkRestart(b *testing.B) {
	for _, objects := range []int{1_000, 10_000, 50_000} {
		for _, state := range []string{"stopped", "crashed"} {
			b.Run(fmt.Sprintf("%s/%d", state, objects), func(b *testing.B) {
				o := Options{Path: filepath.Join(b.TempDir(), "state.db"), CompactAfter: time.Hour}
				s, err := Open(o)
				if err != nil {
					b.Fatal(err)
				}
				fill(b, s, objects)
				if state == "crashed" {
					close(s.closing)
					<-s.stopped
					s.journal.Close()
				} else if err := s.Close(); err != nil {
					b.Fatal(err)
				} else {
					o.CompactAfter = time.Nanosecond
				}
				s = nil
				before := heapInUse()
				var after uint64
				for b.Loop() {
					if s, err = Open(o); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					if after == 0 {
						after = heapInUse()
					}
					close(s.closing)
					<-s.stopped
					s.journal.Close()
					b.StartTimer()
				}
				st := s.Stats()
				if st.Objects != objects {
					b.Errorf("%d objects", st.Objects)
				}
				b.ReportMetric(float64(after-before)/1e6, "heap-MB")
				b.ReportMetric(float64(st.DataBytes)/1e6, "data-MB")
				b.ReportMetric(float64(st.FileBytes)/1e6, "file-MB")
			})
		}
	}
}

func BenchmarkList(b *testing.B) {
	s := openTest(b)
	fill(b, s, 10_000)
	rev := s.Stats().Revision
	for i := range 1000 {
		put(b, s, fmt.Sprintf("/registry/configmaps/default/object-%06d", i*7), "changed")
	}
	c := s.Client(b.Context()).Kubernetes
	for name, o := range map[string]kubernetes.ListOptions{
		"all": {}, "page": {Limit: 500}, "past": {Revision: rev}, "page-of-the-past": {Revision: rev, Limit: 500},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.List(b.Context(), "/registry/", o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := openTest(b)
	fill(b, s, 10_000)
	c := s.Client(b.Context()).Kubernetes
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Get(b.Context(), "/registry/configmaps/default/object-004711", kubernetes.GetOptions{}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkClose writes the last good copy of 10,000 objects.
func BenchmarkClose(b *testing.B) {
	o := Options{Path: filepath.Join(b.TempDir(), "state.db")}
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	fill(b, s, 10_000)
	for i := 0; b.Loop(); i++ {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if s, err = Open(o); err != nil {
			b.Fatal(err)
		}
		put(b, s, "/changed", fmt.Sprint(i))
		b.StartTimer()
	}
	b.StopTimer()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
