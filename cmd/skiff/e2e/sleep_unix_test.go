//go:build unix

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

const sleepers = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleepers}
spec:
  replicas: 2
  selector: {matchLabels: {app: sleepers}}
  template:
    metadata: {labels: {app: sleepers}}
    spec:
      containers:
      - name: web
        image: IMAGE:0.1
        livenessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1, failureThreshold: 2}
        readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1, failureThreshold: 2}
`

// A machine that sleeps stops everything at once, the daemon and the pods. When it wakes, every timer is late and every answer
// is overdue, and nothing of that may be held against a pod.
func TestASleepOfTheMachineRestartsNothing(t *testing.T) {
	ensureStarted(t)
	namespace(t, "asleep")
	kubectl(t, "apply", "-f", file(t, "sleepers.yaml", sleepers))
	kubectl(t, "rollout", "status", "deployment/sleepers", "--timeout=90s")
	kubectl(t, "expose", "deployment", "sleepers", "--port=80", "--type=NodePort")
	url := nodePortURL(t, "sleepers")
	eventuallyServes(t, url, "version 0.1")
	all := func() string {
		return containers(t, "io.kubernetes.pod.namespace=asleep") + containers(t, "skiff.local/role=relay")
	}
	before := all()

	var ids []string
	for line := range strings.Lines(before) {
		ids = append(ids, strings.Fields(line)[1])
	}
	docker := func(verb string) {
		if r := try(t, "docker", append([]string{verb}, ids...)...); r.code != 0 {
			t.Fatal(r)
		}
	}
	pid := readStatus(t).Daemon.PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	woken := false
	wake := func() {
		if !woken {
			woken = true
			docker("unpause")
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(wake)
	docker("pause")
	time.Sleep(6 * time.Second) // three times what the liveness probe needs for its verdict
	wake()

	eventuallyServes(t, url, "version 0.1")
	// What takes the scheduler, the node and many rounds of the probes.
	kubectl(t, "create", "deployment", "afterwards", "--image="+shared.image+":0.1")
	kubectl(t, "rollout", "status", "deployment/afterwards", "--timeout=90s")
	kubectl(t, "delete", "deployment", "afterwards", "--cascade=foreground", "--timeout=90s")
	kubectl(t, "rollout", "status", "deployment/sleepers", "--timeout=30s")
	if after := all(); after != before {
		t.Errorf("containers changed:\nbefore\n%safter\n%s", before, after)
	}
	if events := kubectl(t, "get", "events", "--field-selector=reason=Killing", "-o", "custom-columns=:involvedObject.name", "--no-headers"); strings.Contains(events, "sleepers") {
		t.Errorf("something was killed:\n%s", events)
	}
	if nodes := kubectl(t, "get", "nodes", "--no-headers"); strings.Contains(nodes, "NotReady") {
		t.Error(nodes)
	}
	if now := readStatus(t).Daemon.PID; now != pid {
		t.Errorf("the daemon is another: pid %d, it was %d", now, pid)
	}
}
