package up

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/plan"
)

// session is a set's life as events: everything a renderer has to draw.
func session() []event.Event {
	web := plan.Ref{Group: "apps", Kind: "Deployment", Namespace: "default", Name: "web"}
	svc := plan.Ref{Kind: "Service", Namespace: "default", Name: "web"}
	far := plan.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "c"}
	return []event.Event{
		{Type: event.Started, Sources: []string{"k8s"}},
		{Type: event.Note, File: "k8s/compose.yaml", Message: "not a Kubernetes manifest"},
		{Type: event.Object, Object: &svc, Action: event.Created},
		{Type: event.Ready, Object: &svc, Message: "answers on node port 30080", Took: time.Millisecond},
		{Type: event.Object, Object: &web, Action: event.Configured, Fields: []string{"a", "b", "c", "d", "e"}, Notes: []string{"took over spec.replicas from kubectl"}},
		{Type: event.Applied, Summary: &event.Summary{Created: 1, Configured: 1, Unchanged: 3}, Took: 48 * time.Millisecond},
		{Type: event.Watching, Summary: &event.Summary{Objects: 5}},
		{Type: event.Progress, Object: &web, Message: "0 of 2 pods are new"},
		{Type: event.Crash, Object: &web, Pod: "web-1", Container: "main", Message: "ended with exit code 3", Lines: []string{"panic: no database"}},
		{Type: event.Waiting, Object: &web, Message: "1 of 2 pods available; pod web-2: can't be scheduled: Insufficient cpu"},
		{Type: event.Ready, Object: &web, Message: "2 pods", Took: 1300 * time.Millisecond},
		{Type: event.Problem, File: "k8s/web.yaml", Line: 4, Column: 1, Message: "found character that cannot start any token", Hint: "a tab stands here"},
		{Type: event.Solved, File: "k8s/web.yaml"},
		{Type: event.Object, Object: &web, Action: event.Failed, File: "k8s/web.yaml", Line: 6, Column: 13, Message: "spec.replicas must be a whole number", Hint: "leave the quotes out"},
		{Type: event.Object, Object: &far, Action: event.Failed, Message: "there is no namespace shop", Retry: true},
		{Type: event.Object, Object: &far, Action: event.Pruned, Cause: "no longer in k8s/c.yaml"},
		{Type: event.Object, Object: &far, Action: event.Kept, Cause: "it holds data"},
		{Type: event.Object, Object: &web, Action: event.Restarted, Cause: "app is another image now (0123)"},
		{Type: event.Object, Object: &web, Action: event.Gone, Message: "deleted by someone else", Hint: "it is made again with the next save"},
		{Type: event.Stopped, Message: "what was applied stays"},
	}
}

const wantLines = `· k8s/compose.yaml: not a Kubernetes manifest
+ Service web created
● Service web answers on http://localhost:30080
~ Deployment web configured a, b, c, d and 1 more
! Deployment web: took over spec.replicas from kubectl
  1 created, 1 configured, 3 unchanged in 48 ms
  watching k8s: 5 objects in skiff (Ctrl-C ends the watch and leaves everything running)
✗ Deployment web: web-1 [main] ended with exit code 3
    │ panic: no database
… Deployment web: 1 of 2 pods available; pod web-2: can't be scheduled: Insufficient cpu
● Deployment web ready in 1.3 s (2 pods)
✗ k8s/web.yaml:4:1: found character that cannot start any token
    → a tab stands here
✓ k8s/web.yaml is fine again
✗ Deployment web: k8s/web.yaml:6:13: spec.replicas must be a whole number
    → leave the quotes out
✗ ConfigMap shop/c: there is no namespace shop
    → it is tried again
- ConfigMap shop/c pruned: no longer in k8s/c.yaml
= ConfigMap shop/c left the sources and stays: it holds data
↻ Deployment web gets new pods: app is another image now (0123)
! Deployment web: deleted by someone else
    → it is made again with the next save
  no longer watching; what was applied stays
`

func TestLines(t *testing.T) {
	streams, _, out, errOut := iostreams.Test()
	var both strings.Builder
	l := newLines(streams, Target{Name: "skiff", Namespace: "default", Ours: true})
	write := l.write
	l.write = func(w io.Writer, text string) {
		both.WriteString(text)
		write(w, text)
	}
	for _, e := range session() {
		l.event(e)
	}
	if diff := cmp.Diff(wantLines, both.String()); diff != "" {
		t.Errorf("unexpected lines (-want +got):\n%s", diff)
	}
	for _, trouble := range []string{"✗", "panic", "→", "·"} {
		if strings.Contains(out.String(), trouble) || !strings.Contains(errOut.String(), trouble) {
			t.Errorf("%s does not go to standard error", trouble)
		}
	}
}

// TestLiveKeepsTheScrollbackClean plays the session on a terminal that understands the few sequences which are used,
// and compares what stays.
func TestLiveKeepsTheScrollbackClean(t *testing.T) {
	streams, _, out, _ := iostreams.Test()
	streams.SetTTY(true, true, true)
	streams.SetColour(false)
	v := newLive(newLines(streams, Target{Name: "skiff", Namespace: "default", Ours: true}))
	for _, e := range session() {
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		v.event(e)
	}
	v.close()
	if diff := cmp.Diff(wantLines, screen(out.String())); diff != "" {
		t.Errorf("unexpected screen (-want +got):\n%s", diff)
	}
	if !strings.Contains(out.String(), "0 of 2 pods are new") {
		t.Error("the progress was never shown")
	}
}

// screen interprets cursor up, carriage return and erase below.
func screen(written string) string {
	lines := []string{""}
	for len(written) > 0 {
		switch {
		case strings.HasPrefix(written, "\x1b["):
			end := strings.IndexAny(written[2:], "AJ") + 2
			n := 0
			for _, digit := range written[2:end] {
				n = 10*n + int(digit-'0')
			}
			if written[end] == 'A' {
				lines = lines[:len(lines)-n]
			}
			written = written[end+1:]
		case written[0] == '\r':
			lines[len(lines)-1] = ""
			written = written[1:]
		case written[0] == '\n':
			lines = append(lines, "")
			written = written[1:]
		default:
			lines[len(lines)-1] += written[:1]
			written = written[1:]
		}
	}
	return strings.Join(lines, "\n")
}

func TestDifferences(t *testing.T) {
	streams, _, out, _ := iostreams.Test()
	l := newLines(streams, Target{Namespace: "default"})
	ref := plan.Ref{Kind: "ConfigMap", Namespace: "default", Name: "c"}
	l.differences([]watch.Difference{
		{Ref: ref, After: "x"}, {Ref: ref, Before: "x"},
		{Ref: ref, Before: "data:\n  a: \"1\"\n  b: \"1\"\n", After: "data:\n  a: \"2\"\n  b: \"1\"\n"},
	})
	want := "+ ConfigMap c would be created\n- ConfigMap c would be pruned\n~ ConfigMap c would change\n" +
		"    @@ -1,3 +1,3 @@\n     data:\n    -  a: \"1\"\n    +  a: \"2\"\n       b: \"1\"\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("unexpected differences (-want +got):\n%s", diff)
	}
}
