package outcome

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

const (
	// crashLines is how much of a crashed container's log is shown; a stack trace's head usually fits.
	crashLines = 12
	// askTimeout bounds questions beside the watch.
	askTimeout = 3 * time.Second
)

// tellCrash says that a container crashed, with the end of its log. The same crash with the same last words is said
// once, however often the container is started again.
func (f *Follower) tellCrash(ref plan.Ref, report crashReport) {
	ctx := f.context()
	f.waiting.Go(func() {
		e := event.Event{Type: event.Crash, Object: &ref, Pod: report.pod.Name, Container: report.crash.Container, Message: report.crash.Message}
		e.Lines = f.lastWords(ctx, report)
		words := report.crash.Container + report.crash.Message + strings.Join(e.Lines, "\n")
		f.mu.Lock()
		t := f.tracks[ref]
		news := t != nil && t.lastLines != words
		if news {
			t.lastLines = words
		}
		f.mu.Unlock()
		if news && ctx.Err() == nil {
			f.config.Emit(e)
		}
	})
}

func (f *Follower) context() context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ctx
}

// lastWords is the end of the log of the instance that crashed. By the time the log is asked for, another instance may have
// taken its place and said nothing yet, or ended as well: then the one before, or after, has it.
func (f *Follower) lastWords(ctx context.Context, report crashReport) []string {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if lines := f.log(ctx, report, report.crash.Previous); len(lines) > 0 {
		return lines
	}
	return f.log(ctx, report, !report.crash.Previous)
}

func (f *Follower) log(ctx context.Context, report crashReport, previous bool) []string {
	tail := int64(crashLines)
	raw, err := f.config.Client.CoreV1().Pods(report.pod.Namespace).GetLogs(report.pod.Name, &corev1.PodLogOptions{
		Container: report.crash.Container, TailLines: &tail, Previous: previous,
	}).DoRaw(ctx)
	if err != nil {
		return nil // the crash itself is said all the same
	}
	text := strings.TrimRight(string(raw), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-crashLines):]
}

// tellWaiting says what an object waits for, in the words of the cluster's last warning about it if there is one.
func (f *Follower) tellWaiting(ref plan.Ref, q question) {
	ctx := f.context()
	f.mu.Lock()
	uid := ""
	if t := f.tracks[ref]; t != nil {
		uid = t.uid
	}
	f.mu.Unlock()
	if q.pod != nil {
		uid = string(q.pod.UID)
	}
	f.waiting.Go(func() {
		if warning := f.lastWarning(ctx, ref.Namespace, uid); warning != "" {
			q.event.Message += ": " + warning
		}
		if ctx.Err() == nil {
			f.config.Emit(q.event)
		}
	})
}

func (f *Follower) lastWarning(ctx context.Context, namespace, uid string) string {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	list, err := f.config.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.uid": uid, "type": corev1.EventTypeWarning}.String(),
	})
	if err != nil || len(list.Items) == 0 {
		return ""
	}
	last := slices.MaxFunc(list.Items, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	return strings.TrimSpace(last.Message)
}

func eventTime(e corev1.Event) time.Time {
	if e.Series != nil {
		return e.Series.LastObservedTime.Time
	}
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}
