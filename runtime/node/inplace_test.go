package node

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// A restart in place keeps the container with what was written into it, counts as none, and leaves the pod as able to
// recover as before.
func TestAContainerIsRestartedInPlace(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.pod("web", func(p *v1.Pod) {
		p.Spec.Containers[0] = c.container("main", `echo run >>/runs; trap 'exit 0' TERM; until [ -e /crash ]; do sleep 0.1; done; exit 3`)
	})
	before := status(c.until("web", "ready", time.Minute, ready), "main")
	restart := func(container string) int {
		t.Helper()
		recorder := httptest.NewRecorder()
		c.agent.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/restart/default/web/"+container, nil))
		return recorder.Code
	}
	c.exec("web", "main", "touch", "/copied")
	if code := restart("main"); code != http.StatusOK {
		t.Fatalf("answered with %d", code)
	}
	c.exec("web", "main", "test", "-e", "/copied")
	if runs := c.exec("web", "main", "sh", "-c", "until [ $(wc -l </runs) -ge 2 ]; do sleep 0.1; done; cat /runs"); runs != "run\nrun" {
		t.Errorf("its program began: %q, want twice", runs)
	}
	after := status(c.until("web", "ready again", time.Minute, ready), "main")
	if after.ContainerID != before.ContainerID || after.RestartCount != 0 {
		t.Errorf("before %s, after %s with %d restarts", before.ContainerID, after.ContainerID, after.RestartCount)
	}
	if code := restart("other"); code != http.StatusConflict {
		t.Errorf("a container that is not there: answered with %d", code)
	}

	c.exec("web", "main", "touch", "/crash")
	c.until("web", "restarted after its crash", time.Minute, func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.RestartCount == 1 && s.State.Running != nil && s.ContainerID != before.ContainerID
	})
	c.remove("web", 1)
	c.until("web", "gone", time.Minute, gone)
	c.untilNothingLeft()
}
