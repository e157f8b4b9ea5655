package e2e

import (
	"strings"
	"testing"
)

func TestTwoContainersShareWhatAPodShares(t *testing.T) {
	ensureStarted(t)
	namespace(t, "pair")
	kubectl(t, "create", "-f", file(t, "pair.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: pair}
spec:
  volumes: [{name: logs, emptyDir: {}}]
  containers:
  - name: server
    image: IMAGE:0.1
    command: [sh, -c, "trap exit TERM; httpd -f -p 80 -h /www & while :; do echo line >> /var/log/access.log; sleep 1; done"]
    volumeMounts: [{name: logs, mountPath: /var/log}]
  - name: reader
    image: IMAGE:0.1
    command: [sh, -c, "trap exit TERM; touch /logs/access.log; tail -f /logs/access.log & wait"]
    volumeMounts: [{name: logs, mountPath: /logs}]
`))
	eventuallyPrints(t, "2/2", "get", "pods")
	eventuallyPrints(t, "line", "logs", "pair", "-c", "reader")
	in := func(container, script string) string {
		return strings.TrimSpace(kubectl(t, "exec", "pair", "-c", container, "--", "sh", "-c", script))
	}
	if got := in("reader", "wget -qO- http://localhost/"); !strings.Contains(got, "version 0.1") {
		t.Errorf("over localhost: %q", got)
	}
	if a, b := in("server", "hostname"), in("reader", "hostname"); a != "pair" || b != "pair" {
		t.Errorf("hostnames %q and %q", a, b)
	}
	ipc := "ls -l /proc/self/ns/ipc | sed 's/.*-> //'"
	if a, b := in("server", ipc), in("reader", ipc); a != b {
		t.Errorf("IPC namespaces %q and %q", a, b)
	}
	if got := in("reader", "ps | grep -c '[h]ttpd' || true"); got != "0" {
		t.Errorf("the reader sees the server's process")
	}
}

func TestSharedProcessNamespaceAndATerminal(t *testing.T) {
	ensureStarted(t)
	namespace(t, "tty")
	kubectl(t, "create", "-f", file(t, "tty.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: shared}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 1
  containers:
  - {name: server, image: "IMAGE:0.1"}
  - {name: shell, image: "IMAGE:0.1", tty: true, stdin: true, command: [cat]}
`))
	eventuallyPrints(t, "2/2", "get", "pods")
	if got := kubectl(t, "exec", "shared", "-c", "shell", "--", "sh", "-c", "ps | grep -c '[h]ttpd'"); strings.TrimSpace(got) == "0" {
		t.Error("the shell does not see the server's process")
	}
	eventuallyPrints(t, "2/2", "get", "pods")
}

func TestAServiceHasItsNames(t *testing.T) {
	ensureStarted(t)
	namespace(t, "names")
	kubectl(t, "create", "-f", file(t, "pod.yaml", podManifest))
	kubectl(t, "create", "-f", file(t, "svc.yaml", serviceManifest))
	kubectl(t, "run", "client", "--image="+shared.image+":0.1", "--command", "--", "sleep", "3600")
	kubectl(t, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
	for _, host := range []string{"k8s-demo-svc", "k8s-demo-svc.names", "k8s-demo-svc.names.svc.cluster.local"} {
		eventuallyPrints(t, "version 0.1", "exec", "client", "--", "fetch", "http://"+host+"/")
	}
	// The API is a Service too; the pod's account gets in, and its CA vouches for the server.
	eventuallyPrints(t, "gitVersion", "exec", "client", "--", "fetch", "https://kubernetes.default.svc/version")
}

func TestProbesRestartAndHide(t *testing.T) {
	ensureStarted(t)
	namespace(t, "probes")
	kubectl(t, "create", "-f", file(t, "probes.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: probed, labels: {app: k8s}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: IMAGE:0.1
    command: [sh, -c, "touch /tmp/ready /tmp/live; httpd -f -p 80 -h /www"]
    readinessProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {exec: {command: [cat, /tmp/live]}, periodSeconds: 1, failureThreshold: 2}
`))
	kubectl(t, "create", "-f", file(t, "svc.yaml", serviceManifest))
	endpoints := []string{"get", "endpointslices", "-l", "kubernetes.io/service-name=k8s-demo-svc", "-o", "jsonpath={.items[*].endpoints[*].conditions.ready}"}
	eventuallyPrints(t, "true", endpoints...)
	kubectl(t, "exec", "probed", "--", "rm", "/tmp/ready")
	eventuallyPrints(t, "false", endpoints...)
	eventuallyPrints(t, "0/1", "get", "pods")
	kubectl(t, "exec", "probed", "--", "touch", "/tmp/ready")
	eventuallyPrints(t, "true", endpoints...)

	kubectl(t, "exec", "probed", "--", "rm", "/tmp/live")
	eventuallyPrints(t, "1", "get", "pod", "probed", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
	eventuallyPrints(t, "1/1", "get", "pods")
}

func TestConfigurationReachesAPod(t *testing.T) {
	ensureStarted(t)
	namespace(t, "config")
	kubectl(t, "create", "configmap", "settings", "--from-literal=color=blue")
	kubectl(t, "create", "secret", "generic", "key", "--from-literal=password=hunter2")
	kubectl(t, "create", "-f", file(t, "configured.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: configured}
spec:
  restartPolicy: Never
  volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: key, secret: {secretName: key}}
  initContainers:
  - {name: before, image: "IMAGE:0.1", command: [sh, -c, "echo init ran"]}
  containers:
  - name: main
    image: IMAGE:0.1
    command: [sh, -c, "echo $COLOR $POD $PASSWORD; cat /settings/color /key/password; exit 0"]
    env:
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: key, key: password}}}
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    volumeMounts:
    - {name: settings, mountPath: /settings}
    - {name: key, mountPath: /key}
`))
	kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/configured", "--timeout=90s")
	if got := kubectl(t, "logs", "configured"); !strings.Contains(got, "blue configured hunter2\n") || !strings.Contains(got, "bluehunter2") {
		t.Errorf("logs: %q", got)
	}
	if got := kubectl(t, "logs", "configured", "-c", "before"); !strings.Contains(got, "init ran") {
		t.Errorf("logs of the init container: %q", got)
	}
}

// TestPodsAreScheduledForWhatTheNodeDeclares: the scheduler keeps a pod with such a rule from nodes that don't declare it.
func TestPodsAreScheduledForWhatTheNodeDeclares(t *testing.T) {
	ensureStarted(t)
	namespace(t, "declared")
	kubectl(t, "apply", "-f", file(t, "again.yaml", `
apiVersion: v1
kind: Pod
metadata: {name: again}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - {name: beside, image: "IMAGE:0.1"}
  - name: first
    image: "IMAGE:0.1"
    command: [sh, -c, "test -e /v/once && exec sleep 1000; touch /v/once; exit 42"]
    volumeMounts: [{name: v, mountPath: /v}]
    restartPolicy: Never
    restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [42]}}]
`))
	kubectl(t, "wait", "pod/again", "--for=jsonpath={.status.containerStatuses[?(@.name=='beside')].restartCount}=1", "--timeout=2m")
	kubectl(t, "wait", "pod/again", "--for=condition=Ready", "--timeout=1m")
}
