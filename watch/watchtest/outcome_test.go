package watchtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/watch/event"
)

func (b *bench) outcome(object string, kind event.Type) event.Event {
	b.t.Helper()
	return b.await(object+" "+string(kind), func(e event.Event) bool {
		return e.Type == kind && e.Object != nil && e.Object.Kind+"/"+e.Object.Name == object
	})
}

func TestARolloutIsFollowedUntilItIsReady(t *testing.T) {
	b := newBench(t, map[string]string{"web.yaml": deployment("web", "slow:1")}).run()
	ready := b.outcome("Deployment/web", event.Ready)
	if ready.Took < 400*time.Millisecond || ready.Took > 10*time.Second {
		t.Errorf("ready in %s", ready.Took)
	}
	if !slices.ContainsFunc(b.seen(), func(e event.Event) bool { return e.Type == event.Progress }) {
		t.Error("no progress was said")
	}
	b.forget()
	b.write("web.yaml", deployment("web", "slow:2"))
	b.outcome("Deployment/web", event.Ready)
}

func TestARestartDoesNotRepeatWhatIsReady(t *testing.T) {
	b := newBench(t, map[string]string{"web.yaml": deployment("web", "a:1")}).run()
	b.outcome("Deployment/web", event.Ready)
	b.stop()
	b.forget()
	b.run()
	b.write("web.yaml", deployment("web", "a:2"))
	b.outcome("Deployment/web", event.Ready)
	n := 0
	for _, e := range b.seen() {
		if e.Type == event.Ready {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d ready events, want one:\n%s", n, b.lines())
	}
}

func TestARenamedFileIsNoNews(t *testing.T) {
	b := newBench(t, map[string]string{"web.yaml": deployment("web", "a:1")}).run()
	b.outcome("Deployment/web", event.Ready)
	b.forget()
	check(t, os.Rename(filepath.Join(b.dir, "web.yaml"), filepath.Join(b.dir, "site.yaml")))
	b.action("Deployment/web", event.Unchanged)
	b.write("other.yaml", deployment("other", "slow:1"))
	b.outcome("Deployment/other", event.Ready)
	if slices.ContainsFunc(b.seen(), func(e event.Event) bool { return e.Object != nil && e.Object.Name == "web" && e.Type != event.Object }) {
		t.Errorf("what did not change was followed again:\n%s", b.lines())
	}
}

func TestACrashIsSaidWithItsLastWords(t *testing.T) {
	b := newBench(t, map[string]string{"web.yaml": deployment("web", "crash:1")}).run()
	crash := b.outcome("Deployment/web", event.Crash)
	if crash.Container != "main" || !strings.Contains(crash.Message, "exit code 3") || !slices.Contains(crash.Lines, "panic: no database at db:5432") {
		t.Errorf("crash: %+v", crash)
	}
	b.forget()
	b.write("web.yaml", deployment("web", "a:1"))
	b.outcome("Deployment/web", event.Ready)
}

func TestAMissingImageIsSaid(t *testing.T) {
	b := newBench(t, map[string]string{"web.yaml": deployment("web", "missing:1")}).run()
	waiting := b.outcome("Deployment/web", event.Waiting)
	if !strings.Contains(waiting.Message, "image missing:1") {
		t.Errorf("waiting: %s (%s)", waiting.Message, waiting.Hint)
	}
}

func TestPodsThatCannotBeMadeAreSaid(t *testing.T) {
	b := newBench(t, map[string]string{
		"quota.yaml": "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: \"0\"}}\n",
		"web.yaml":   deployment("web", "a:1"),
		"job.yaml":   "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: c, image: a}]\n",
	}).run()
	waiting := b.outcome("Deployment/web", event.Waiting)
	if !strings.Contains(waiting.Message, "exceeded quota") {
		t.Errorf("waiting: %s", waiting.Message)
	}
}

func TestWhatSomebodyElseDeletesComesBackWithTheNextSave(t *testing.T) {
	b := newBench(t, map[string]string{"a.yaml": config("a", "1"), "b.yaml": config("b", "1")}).run()
	b.until("the watch to see the object", func() bool {
		_, err := shared.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "a", metav1.GetOptions{})
		return err == nil
	})
	time.Sleep(200 * time.Millisecond) // the watch begins beside the first pass
	check(t, shared.client.CoreV1().ConfigMaps(b.namespace).Delete(t.Context(), "a", metav1.DeleteOptions{}))
	b.action("ConfigMap/a", event.Gone)
	b.forget()
	b.write("b.yaml", config("b", "2"))
	b.action("ConfigMap/a", event.Created)
}
