package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Workloads of one image that is built here: one that follows everything, one that opts out of its tag, one that is rolled
// when its configuration changes, one that reads its files only when it starts.
const reloaded = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {"skiff.local/sync": "./src:/www/src", "skiff.local/sync-exec": "echo reloaded >/www/reloaded"}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: APP, volumeMounts: [{name: settings, mountPath: /www/settings}]}]
      volumes: [{name: settings, configMap: {name: settings}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: still
  annotations: {"skiff.local/follow-image": "false"}
spec:
  selector: {matchLabels: {app: still}}
  template:
    metadata: {labels: {app: still}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: APP, envFrom: [{configMapRef: {name: settings}}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: rolled
  annotations: {"skiff.local/roll-on-config": "true", "skiff.local/follow-image": "false"}
spec:
  selector: {matchLabels: {app: rolled}}
  template:
    metadata: {labels: {app: rolled}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: APP, envFrom: [{configMapRef: {name: settings}}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: reads
  annotations: {"skiff.local/sync": "./src:/src", "skiff.local/sync-restart": "true", "skiff.local/follow-image": "false"}
spec:
  selector: {matchLabels: {app: reads}}
  template:
    metadata: {labels: {app: reads}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: APP, command: [sh, -c, "cat /src/* >>/read 2>/dev/null; exec /serve"]}]
`

// From save to live: an image's tag, configuration and source files reach the pods, each in its way.
func TestWhatIsBuiltAndSavedReachesThePods(t *testing.T) {
	ensureStarted(t)
	namespace(t, "reload")
	app := shared.image + "-app"
	dir := manifests(t, map[string]string{"app.yaml": strings.ReplaceAll(reloaded, "APP", app), "settings.yaml": configMap("settings", "1"), "src/page.html": "first"})
	build := func(page string) {
		t.Helper()
		save(t, filepath.Join(dir, "Dockerfile"), fmt.Sprintf("FROM %s:0.1\nRUN echo %s >/www/index.html\n", shared.image, page))
		buildImage(t, app, dir)
	}
	build("one")
	up := openScreen(t, dir, "up", "k8s")
	for _, name := range []string{"web", "still", "rolled", "reads"} {
		up.shows("Deployment "+name+" ready in", "(1 pod)")
	}
	url := nodePortURL(t, "web")
	eventuallyServes(t, url, "one")
	pod := func(name string) string {
		t.Helper()
		return jsonpath(t, "{.items[0].metadata.uid}", "pods", "-l", "app="+name)
	}

	still := pod("still")
	up.forget()
	build("two")
	up.shows("Deployment web gets new pods: ", app, "is another image now")
	up.shows("Deployment web ready in", "(1 pod)")
	eventuallyServes(t, url, "two")
	eventually(t, slow, func() string { // the last pod is on its way out
		if n := len(strings.Fields(jsonpath(t, "{.items[*].metadata.uid}", "pods", "-l", "app=web"))); n != 1 {
			return fmt.Sprintf("%d pods of web", n)
		}
		return ""
	})

	web := pod("web")
	best := time.Hour
	for _, value := range []string{"2", "3", "4"} {
		begin := time.Now()
		save(t, filepath.Join(dir, "k8s/settings.yaml"), configMap("settings", value))
		eventuallyServes(t, url+"settings/value", value)
		best = min(best, time.Since(begin))
	}
	if best > time.Second {
		t.Errorf("configuration reached a file in a pod after %s at best", best)
	}
	t.Logf("configuration reached a file in a pod after %s at best of three", best)
	up.shows("Deployment rolled configured", "annotations[skiff.local/config]")
	up.shows("Deployment rolled ready in", "(1 pod)")

	save(t, filepath.Join(dir, "k8s/src/page.html"), "second")
	up.shows("Deployment web", "1 file copied to /www/src, ran echo reloaded")
	up.shows("Deployment reads", "1 file copied to /src, restarted")
	eventually(t, slow, func() string {
		r := try(t, shared.kubectl, "exec", "deployment/reads", "--", "cat", "/read")
		if r.out != "second" {
			return fmt.Sprintf("the restarted program has read\n%s", r)
		}
		return ""
	})
	eventuallyServes(t, url+"src/page.html", "second")
	eventuallyServes(t, url+"reloaded", "reloaded")
	if got := pod("web"); got != web {
		t.Error("configuration or files gave web a new pod")
	}
	if got := pod("still"); got != still {
		t.Error("the workload that opted out has a new pod")
	}
	if got := jsonpath(t, "{.items[*].status.containerStatuses[*].restartCount}", "pods", "-l", "app=reads"); got != "0" {
		t.Errorf("the restart in place counts as %s failures", got)
	}
	up.ctrlC()
	if n := strings.Count(up.text(), "restarted in"); n != 1 {
		t.Errorf("one save restarted the container %d times", n)
	}

	// The daemon's watch reaches into containers as well.
	skiff(t, "up", "-d", filepath.Join(dir, "k8s"))
	save(t, filepath.Join(dir, "k8s/src/page.html"), "third")
	eventuallyServes(t, url+"src/page.html", "third")
	skiff(t, "up", "--stop", filepath.Join(dir, "k8s"))
}
