package stats

import (
	"bytes"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// ResourceMetrics is a summary in the text format of Prometheus, as kubelet's /metrics/resource has it, for metrics-server and
// whoever else scrapes nodes. What kubelet sums up by pod is left out: a sum that falls when a container restarts reads as a
// counter's reset.
func ResourceMetrics(s *statsapi.Summary) []byte {
	var out bytes.Buffer
	var cpu, memory, started []string
	for i := range s.Pods {
		p := &s.Pods[i]
		for j := range p.Containers {
			c := &p.Containers[j]
			labels := fmt.Sprintf("container=%q,namespace=%q,pod=%q", c.Name, p.PodRef.Namespace, p.PodRef.Name)
			if c.CPU != nil && c.CPU.UsageCoreNanoSeconds != nil {
				cpu = append(cpu, line(labels, seconds(*c.CPU.UsageCoreNanoSeconds), c.CPU.Time))
			}
			if c.Memory != nil && c.Memory.WorkingSetBytes != nil {
				memory = append(memory, line(labels, float64(*c.Memory.WorkingSetBytes), c.Memory.Time))
			}
			started = append(started, line(labels, seconds(uint64(c.StartTime.UnixNano())), metav1.Time{}))
		}
	}
	family(&out, "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds", cpu)
	family(&out, "container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", memory)
	family(&out, "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds", started)
	if n := s.Node.CPU; n != nil && n.UsageCoreNanoSeconds != nil {
		family(&out, "node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds",
			[]string{line("", seconds(*n.UsageCoreNanoSeconds), n.Time)})
	}
	if n := s.Node.Memory; n != nil && n.WorkingSetBytes != nil {
		family(&out, "node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes",
			[]string{line("", float64(*n.WorkingSetBytes), n.Time)})
	}
	return out.Bytes()
}

func seconds(nanos uint64) float64 { return float64(nanos) / 1e9 }

// line is a sample without its name; one whose time is zero was taken when it was asked for.
func line(labels string, value float64, at metav1.Time) string {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	text := labels + " " + strconv.FormatFloat(value, 'g', -1, 64)
	if !at.IsZero() {
		text += " " + strconv.FormatInt(at.UnixMilli(), 10)
	}
	return text
}

func family(out *bytes.Buffer, name, kind, help string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	for _, l := range lines {
		fmt.Fprintf(out, "%s%s\n", name, l)
	}
}
