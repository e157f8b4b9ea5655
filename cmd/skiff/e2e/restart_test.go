package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// An acknowledged write survives the daemon's sudden end, and no container notices it.
func TestAKilledDaemonComesBackToRunningPods(t *testing.T) {
	ensureStarted(t)
	namespace(t, "killed")
	kubectl(t, "create", "deployment", "survivor", "--image="+shared.image+":0.1", "--replicas=3")
	kubectl(t, "rollout", "status", "deployment/survivor", "--timeout=90s")
	kubectl(t, "expose", "deployment", "survivor", "--port=80", "--type=NodePort")
	url := nodePortURL(t, "survivor")
	eventuallyServes(t, url, "version 0.1")
	apply(t, `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: survivor}
spec: {rules: [{host: survivor.localhost, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: survivor, port: {number: 80}}}}]}}]}
`)
	site := strings.Fields(skiff(t, "service", "survivor", "-n", "killed", "--url"))
	eventuallyServes(t, site[len(site)-1], "version 0.1")
	// Pods of earlier tests may still be on their way out; these are to be left alone.
	untouched := func() string {
		return containers(t, "io.kubernetes.pod.namespace=killed") + containers(t, "skiff.local/role=relay")
	}
	settled := untouched()

	kubectl(t, "create", "configmap", "last-words", "--from-literal=a=b")
	killDaemon(t)
	eventually(t, slow, func() string {
		// While the kernel takes the process apart, its lock is still held and its connections are reset: the verb fails.
		r := try(t, shared.bin, "status", "-o", "json")
		var s status
		if err := json.Unmarshal([]byte(r.out), &s); err != nil || s.Running {
			return fmt.Sprintf("status does not say that a killed daemon is down: %s", r)
		}
		return ""
	})

	skiff(t, "start")
	// What a script does next finds the ports open.
	for _, url := range append(site, url) {
		if body, err := page(url); err != nil || !strings.Contains(body, "version 0.1") {
			t.Errorf("%s, right after the start: %q, %v", url, body, err)
		}
	}
	if got := jsonpath(t, "{.data.a}", "configmap", "last-words"); got != "b" {
		t.Errorf("the last acknowledged write is gone: %q", got)
	}
	eventuallyServes(t, url, "version 0.1")
	kubectl(t, "rollout", "status", "deployment/survivor", "--timeout=30s")
	if now := untouched(); now != settled {
		t.Errorf("containers changed:\nbefore\n%safter\n%s", settled, now)
	}
	restarts := kubectl(t, "get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if strings.Trim(restarts, "0 ") != "" {
		t.Errorf("restart counts: %q", restarts)
	}
}

// killDaemon ends the daemon as a power cut would, and returns which it was.
func killDaemon(t *testing.T) int {
	t.Helper()
	pid := readStatus(t).Daemon.PID
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestStopKeepsTheObjectsAndStartBringsThePodsBack(t *testing.T) {
	ensureStarted(t)
	namespace(t, "stopped")
	kubectl(t, "create", "deployment", "web", "--image="+shared.image+":0.1")
	kubectl(t, "rollout", "status", "deployment/web", "--timeout=90s")
	skiff(t, "stop")
	if left := containers(t); left != "" {
		t.Errorf("containers run on after stop:\n%s", left)
	}
	if r := try(t, shared.bin, "status"); r.code != 8 || !strings.Contains(r.out, "not running") {
		t.Errorf("status of a stopped cluster: %s", r)
	}
	if r := try(t, shared.bin, "stop"); r.code != 0 {
		t.Errorf("a second stop: %s", r)
	}
	// A verb that needs the cluster starts it, and says so.
	r := try(t, shared.bin, "get", "deployment", "web", "-n", "stopped")
	if r.code != 0 || !strings.Contains(r.errOut, "skiff is not running: starting it") && !strings.Contains(r.errOut, "starting it") {
		t.Errorf("a verb on a stopped cluster: %s", r)
	}
	eventuallyPrints(t, "1/1", "get", "deployment", "web")
}

// A killed process holds its lock for some milliseconds more, and leaves its address behind: neither may be taken for a
// daemon that runs.
func TestAStartRightAfterAKillStarts(t *testing.T) {
	ensureStarted(t)
	for round := range 5 {
		pid := killDaemon(t)
		args := []string{"start"}
		if round%2 == 1 {
			args = append(args, "--wait=false")
		}
		skiff(t, args...)
		if now := readStatus(t).Daemon.PID; now == pid || now == 0 {
			t.Fatalf("round %d: the daemon is still said to be pid %d", round, now)
		}
	}
}

// What pause froze goes on with any start, not only with resume, and nothing restarts.
func TestAStartEndsAPause(t *testing.T) {
	ensureStarted(t)
	namespace(t, "frozen")
	kubectl(t, "create", "deployment", "sleeper", "--image="+shared.image+":0.1")
	kubectl(t, "rollout", "status", "deployment/sleeper", "--timeout=90s")
	kubectl(t, "expose", "deployment", "sleeper", "--port=80", "--type=NodePort")
	url := nodePortURL(t, "sleeper")
	settled := containers(t, "io.kubernetes.pod.namespace=frozen") + containers(t, "skiff.local/role=relay")
	for _, verb := range []string{"start", "resume"} {
		skiff(t, "pause")
		if frozen := containers(t, "skiff.local/role=relay"); frozen == "" || readStatus(t).Running {
			t.Fatalf("after pause the daemon runs: %v, the relay is %q", readStatus(t).Running, frozen)
		}
		if r := try(t, shared.bin, "status"); r.code != 8 || !strings.Contains(r.out, "skiff is paused") || !strings.Contains(r.out, " resume\n") {
			t.Errorf("status of a paused cluster: %s", r)
		}
		if out := skiff(t, "profile", "list"); !strings.Contains(out, "paused") {
			t.Errorf("the list of profiles: %s", out)
		}
		if r := try(t, shared.bin, "pause"); r.code != 0 || !strings.Contains(r.errOut, "paused already") {
			t.Errorf("a second pause: %s", r)
		}
		skiff(t, verb)
		eventuallyServes(t, url, "version 0.1")
		if now := containers(t, "io.kubernetes.pod.namespace=frozen") + containers(t, "skiff.local/role=relay"); now != settled {
			t.Errorf("after %s containers changed:\nbefore\n%safter\n%s", verb, settled, now)
		}
	}
}

// A verb that starts the daemon returns before the node runs: what comes next finds it half started.
func TestWhatComesRightAfterAStartFindsTheNode(t *testing.T) {
	ensureStarted(t)
	namespace(t, "early")
	kubectl(t, "create", "deployment", "web", "--image="+shared.image+":0.1")
	kubectl(t, "rollout", "status", "deployment/web", "--timeout=90s")
	pod := jsonpath(t, "{.items[0].metadata.name}", "pods")
	for range 2 {
		skiff(t, "stop", "--now")
		if out := skiff(t, "why", pod, "-n", "early"); !strings.Contains(out, "pod early/"+pod) {
			t.Errorf("why: %s", out)
		}
		skiff(t, "stop", "--now")
		skiff(t, "get", "pods", "-n", "early")
		skiff(t, "stop", "--now")
		// A stop that takes away what the start still waits for ends both.
		skiff(t, "start", "--wait=false")
		skiff(t, "stop", "--now")
		if left := containers(t); left != "" || readStatus(t).Running {
			t.Fatalf("stop left running, besides a daemon %v:\n%s", readStatus(t).Running, left)
		}
	}
	skiff(t, "start")
	skiff(t, "run", "vast", "-n", "early", "--image="+shared.image+":0.1", `--overrides={"spec":{"containers":[{"name":"vast","image":"x","resources":{"requests":{"memory":"1Pi"}}}]}}`)
	eventually(t, slow, func() string {
		if r := try(t, shared.bin, "why", "vast", "-n", "early"); r.code != 1 || !strings.Contains(r.errOut, "not scheduled to a node yet: 0/") {
			return r.String()
		}
		return ""
	})
}

// Whatever ended the daemon, stop leaves nothing running.
func TestStopAlsoStopsWhatALostDaemonLeft(t *testing.T) {
	ensureStarted(t)
	skiff(t, "pause")
	r := try(t, shared.bin, "stop")
	if left := containers(t); r.code != 0 || !strings.Contains(r.out, "skiff stopped") || left != "" {
		t.Errorf("%s\nrunning:\n%s", r, left)
	}
	if r := try(t, shared.bin, "stop"); r.code != 0 || !strings.Contains(r.errOut, "not running") {
		t.Errorf("a second stop: %s", r)
	}
}
