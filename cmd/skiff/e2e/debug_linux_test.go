package e2e

import (
	"strings"
	"testing"
)

// TestDebugging is how the documentation of Kubernetes looks into pods and nodes.
func TestDebugging(t *testing.T) {
	ensureStarted(t)
	namespace(t, "debug")
	kubectl(t, "create", "-f", file(t, "pods.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: web, image: "IMAGE:0.1"}]
---
apiVersion: v1
kind: Pod
metadata: {name: broken}
spec:
  containers: [{name: main, image: "IMAGE:0.1", command: [sh, -c, "exit 1"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: pending}
spec:
  terminationGracePeriodSeconds: 1
  initContainers: [{name: first, image: "IMAGE:0.1", command: [sleep, "1000"]}]
  containers: [{name: main, image: "IMAGE:0.1"}]
`))
	kubectl(t, "wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	image := "--image=" + shared.image + ":0.1"

	node := jsonpath(t, "{.items[0].metadata.name}", "nodes")
	kubectl(t, "debug", "node/"+node, image, "--profile=general", "--attach=false", "--", "sh", "-c", "ls -d /host/etc/hostname; ps; hostname; exec sleep 1000")

	// A shell beside a running program: its processes, its files, its network.
	beside := openTerminal(t, shared.kubectl, "debug", "-it", "web", image, "--target=web", "--profile=general", "--container=look", "--", "sh")
	beside.enter("ps | grep -c '[h]ttpd -f'; cat /proc/1/root/www/index.html; fetch http://localhost/\n")
	beside.shows("Hello from version 0.1")
	beside.enter("exit 3\n")
	beside.exits(0) // as with every cluster: kubectl doesn't hand on how an ephemeral container ends
	eventuallyPrints(t, "3", "get", "pod", "web", "-o", "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}")
	if got := jsonpath(t, "{.status.containerStatuses[0].restartCount} {.status.phase}", "pod", "web"); got != "0 Running" {
		t.Errorf("the pod after it was debugged: %s", got)
	}
	// A second one with the same target, and one whose image isn't there: the pod goes on.
	kubectl(t, "debug", "web", "--image=skiff.local/no-such-image:1", "--image-pull-policy=Never", "--profile=general", "--container=missing", "--attach=false")
	eventuallyPrints(t, "ErrImageNeverPull", "get", "pod", "web", "-o", "jsonpath={.status.ephemeralContainerStatuses[*].state.waiting.reason}")
	if got := jsonpath(t, "{.status.conditions[?(@.type=='Ready')].status}", "pod", "web"); got != "True" {
		t.Errorf("ready after an ephemeral container could not start: %s", got)
	}

	// One whose target has not started waits and says so; an init container can be looked at while the pod is pending.
	kubectl(t, "debug", "pending", image, "--target=main", "--profile=general", "--container=early", "--attach=false")
	eventuallyPrints(t, `its target container "main" doesn't run`, "get", "pod", "pending", "-o", "jsonpath={.status.ephemeralContainerStatuses[0].state.waiting.message}")
	kubectl(t, "debug", "pending", image, "--target=first", "--profile=general", "--container=look", "--attach=false", "--", "sh", "-c", "ps; exec sleep 1000")
	eventuallyPrints(t, "sleep 1000", "logs", "pending", "-c", "look")

	// A copy of a pod that crashes, with another command; a copy with one more container that sees all processes.
	calm := openTerminal(t, shared.kubectl, "debug", "-it", "broken", "--copy-to=calm", "--container=main", "--profile=general", "--", "sh")
	calm.enter("hostname; exit 0\n")
	calm.shows("calm")
	calm.exits(0)
	kubectl(t, "debug", "web", "--copy-to=twin", image, "--share-processes", "--profile=general", "--container=look", "--attach=false", "--", "sh", "-c", "until ps | grep -q '[h]ttpd -f'; do sleep 0.1; done; echo seen; exec sleep 1000")
	eventuallyPrints(t, "seen", "logs", "twin", "-c", "look")

	if readStatus(t).Engine.Rootless {
		return // it may be unable to show the host's processes: docs/engine.md
	}
	debugger := jsonpath(t, "{.items[?(@.spec.hostPID)].metadata.name}", "pods")
	eventuallyPrints(t, "/host/etc/hostname", "logs", debugger)
	if got := kubectl(t, "logs", debugger); !strings.Contains(got, "dockerd") {
		t.Errorf("a node's debugger doesn't see the engine's processes:\n%s", got)
	}
	if got := jsonpath(t, "{.status.podIP} {.status.hostIP}", "pod", debugger); got == " " || strings.Fields(got)[0] != strings.Fields(got)[1] {
		t.Errorf("a node's debugger has the addresses %q", got)
	}
}
