package stats

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skiff.local/skiff/runtime/docker"
)

type counters map[string]*docker.Stats

func (c counters) Stats(_ context.Context, id string) (*docker.Stats, error) {
	if s := c[id]; s != nil {
		return s, nil
	}
	return nil, errors.New("no such container")
}

func TestWhatScrapersOfNodesRead(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_500)
	engine := counters{"1": {Read: at, CPUNanos: 2_500_000_000, MemoryWorkingSet: 10 << 20}}
	pod := Pod{Namespace: "shop", Name: "web-1", Started: at, Containers: []Container{{Name: "web", ID: "1", Started: time.Unix(1_699_999_000, 0)}}}
	summary := New(engine).Summary(t.Context(), "node", at, []Pod{pod})
	summary.Node.CPU.Time.Time, summary.Node.Memory.Time.Time = at, at
	want := `# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="web",namespace="shop",pod="web-1"} 2.5 1700000000500
# HELP container_memory_working_set_bytes Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="web",namespace="shop",pod="web-1"} 1.048576e+07 1700000000500
# HELP container_start_time_seconds Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="web",namespace="shop",pod="web-1"} 1.699999e+09
# HELP node_cpu_usage_seconds_total Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 2.5 1700000000500
# HELP node_memory_working_set_bytes Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 1.048576e+07 1700000000500
`
	if diff := cmp.Diff(want, string(ResourceMetrics(summary))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if empty := ResourceMetrics(New(engine).Summary(t.Context(), "node", at, nil)); strings.Contains(string(empty), "container_") {
		t.Errorf("without pods:\n%s", empty)
	}
}

// What a container has used stays used when it ends: a counter that falls reads as one that began anew.
func TestTheNodesCounterNeverFalls(t *testing.T) {
	at := time.Now()
	engine := counters{"1": {Read: at, CPUNanos: 5e9}, "2": {Read: at, CPUNanos: 1e9}}
	pods := []Pod{{Name: "a", Containers: []Container{{Name: "c", ID: "1", Started: at}}}, {Name: "b", Containers: []Container{{Name: "c", ID: "2", Started: at}}}}
	s := New(engine)
	node := func(pods []Pod) uint64 {
		return *s.Summary(t.Context(), "node", at, pods).Node.CPU.UsageCoreNanoSeconds
	}
	if got := node(pods); got != 6e9 {
		t.Errorf("both run: %d", got)
	}
	delete(engine, "1")
	engine["2"] = &docker.Stats{Read: at.Add(time.Second), CPUNanos: 2e9}
	if got := node(pods); got != 7e9 {
		t.Errorf("one could not be sampled: %d", got)
	}
	if got := node(pods[1:]); got != 7e9 {
		t.Errorf("one has gone: %d", got)
	}
}
