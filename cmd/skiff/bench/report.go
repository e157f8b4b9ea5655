package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report is the table that a run prints.
type report struct{ rows []row }

type row struct{ what, value, note string }

func (r *report) add(what, value, note string) { r.rows = append(r.rows, row{what, value, note}) }

// times adds the median of durations, with the range they span.
func (r *report) times(what string, d []time.Duration, note string) {
	r.add(what, ms(median(d)), fmt.Sprintf("%s to %s of %d; %s", ms(slices.Min(d)), ms(slices.Max(d)), len(d), note))
}

// ratio adds how many times b's median a's is.
func (r *report) ratio(what string, a, b []time.Duration, note string) {
	r.add(what, fmt.Sprintf("%.2f ×", median(a).Seconds()/median(b).Seconds()), note)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", time.Now().Format("2006-01-02 15:04"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range r.rows {
		fmt.Fprintf(table, "%s\t%s\t%s\n", row.what, row.value, row.note)
	}
	_ = table.Flush()
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Clone(d)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
