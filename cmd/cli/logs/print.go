package logs

import (
	"bufio"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/cmd/cli/exit"
)

// print shows what the containers have logged so far, merged by time.
func (o *options) print(ctx context.Context, t target) error {
	pods, err := o.pods(ctx, t)
	if err != nil {
		return err
	}
	var list []source
	var waiting []string
	for i := range pods {
		s, w := o.sources(&pods[i])
		list, waiting = append(list, s...), append(waiting, w...)
	}
	if len(list) == 0 {
		if len(waiting) == 0 {
			return exit.With(exit.General, fmt.Errorf("no container is or matches %q", o.container), "pod "+pods[0].Name+" has: "+strings.Join(containerNames(&pods[0]), ", "))
		}
		text := waiting[0]
		if len(waiting) > 1 {
			text += fmt.Sprintf(", and so are %d more", len(waiting)-1)
		}
		return exit.With(exit.General, errors.New(text), o.command("why "+pods[0].Name+" -n "+pods[0].Namespace))
	}
	renderer := o.newRenderer(len(list) > 1)
	merge := &merger{}
	defer merge.close()
	for _, s := range list {
		r, err := o.open(ctx, s, o.tail, true)
		if err != nil {
			if len(list) == 1 {
				return err
			}
			fmt.Fprintf(o.io.ErrOut, "%s: %v\n", s.pod, err)
			continue
		}
		merge.add(s, r)
	}
	for {
		s, line, ok, err := merge.next()
		if err != nil {
			return fmt.Errorf("read the logs of %s: %w", s.pod, err)
		}
		if !ok {
			break
		}
		renderer.line(s, line)
	}
	for _, w := range waiting {
		fmt.Fprintln(o.io.ErrOut, w)
	}
	return nil
}

func containerNames(pod *corev1.Pod) []string {
	var names []string
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		names = append(names, c.Name)
	}
	return names
}

// open starts reading a container's log.
func (o *options) open(ctx context.Context, s source, tail int64, stamped bool) (io.ReadCloser, error) {
	r, err := o.request(s.container, tail, stamped)
	if err != nil {
		return nil, err
	}
	return o.client.CoreV1().Pods(s.namespace).GetLogs(s.pod, r).Stream(ctx)
}

// merger gives the lines of several logs, each in order, in the order of their times.
type merger struct {
	heads   heads
	closers []io.Closer
}

type head struct {
	source source
	lines  *bufio.Reader
	line   string
	at     time.Time
	order  int // keeps what has the same time in the order of the containers
}

func (m *merger) add(s source, r io.ReadCloser) {
	m.closers = append(m.closers, r)
	h := &head{source: s, lines: bufio.NewReader(r), order: len(m.closers)}
	if h.advance() == nil {
		heap.Push(&m.heads, h)
	}
}

func (m *merger) close() {
	for _, c := range m.closers {
		_ = c.Close()
	}
}

func (m *merger) next() (source, string, bool, error) {
	if len(m.heads) == 0 {
		return source{}, "", false, nil
	}
	h := m.heads[0]
	line := h.line
	switch err := h.advance(); {
	case err == nil:
		heap.Fix(&m.heads, 0)
	case errors.Is(err, io.EOF):
		heap.Pop(&m.heads)
	default:
		return h.source, "", false, err
	}
	return h.source, line, true, nil
}

// advance reads the next line; what has no time of its own stays behind the line before it.
func (h *head) advance() error {
	line, err := h.lines.ReadString('\n')
	if err != nil && line == "" {
		return err
	}
	h.line = strings.TrimSuffix(line, "\n")
	if stamp, _, ok := strings.Cut(h.line, " "); ok {
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			h.at = at
		}
	}
	return nil
}

type heads []*head

func (h heads) Len() int { return len(h) }
func (h heads) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].order < h[j].order
	}
	return h[i].at.Before(h[j].at)
}
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(*head)) }
func (h *heads) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
