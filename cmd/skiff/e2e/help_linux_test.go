package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// helpExamples are the lines of a verb's help that a person would paste.
func helpExamples(t *testing.T, verb string) []string {
	t.Helper()
	_, examples, found := strings.Cut(skiff(t, append(strings.Fields(verb), "--help")...), "\nExamples:\n")
	if !found {
		t.Fatalf("the help of skiff %s has no examples", verb)
	}
	examples, _, _ = strings.Cut(examples, "\n\nFlags:")
	examples, _, _ = strings.Cut(examples, "\n\nOptions:")
	var lines []string
	for _, line := range strings.Split(examples, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "   ") // an explanation follows
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// unpasted are the examples that a test can't paste, and why.
var unpasted = map[*regexp.Regexp]string{
	regexp.MustCompile(` (-f|-w)\b|skiff up (k8s/|charts/web --values dev.yaml|--build \.)$`): "it goes on until Ctrl-C; other tests type that",
	regexp.MustCompile(`staging|ssh laptop|-n web$|-p blue`):                                  "it needs a place that isn't here",
	regexp.MustCompile(`kustomize build|powershell|zsh|fish|:30080`):                          "it needs a program or a port that may not be here",
	regexp.MustCompile(`--alias`):                                                             "it would stay the current context of the tests after this one",
}

// What the help shows works as it is shown, in a directory and a cluster that have what it names.
func TestTheExamplesOfTheHelpRun(t *testing.T) {
	ensureStarted(t)
	dir := manifests(t, map[string]string{"a.yaml": configMap("pasted", "1")})
	save(t, filepath.Join(dir, "Dockerfile"), "FROM "+shared.image+":0.1\nLABEL pasted=true\n")
	// A docker that needs no plugin, and a browser that doesn't open.
	for name, script := range map[string]string{"docker": "DOCKER_BUILDKIT=0 exec " + which(t, "docker") + ` "$@"`, "xdg-open": "exit 0"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	shared.built = append(shared.built, "app:dev")
	objects := file(t, "pasted.yaml", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "IMAGE:0.1"}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - {name: app, image: "IMAGE:0.1", command: [sh, -c, "test -f /v/ran && exec sleep 1000; touch /v/ran; echo once"], volumeMounts: [{name: v, mountPath: /v}]}
---
apiVersion: v1
kind: Service
metadata: {name: hello, namespace: default}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "IMAGE:0.1"}]
`)
	kubectl(t, "apply", "-f", objects)
	t.Cleanup(func() {
		c := exec.Command(shared.kubectl, "delete", "-f", objects, "--wait=false")
		c.Env = shared.env
		_ = c.Run()
	})
	kubectl(t, "rollout", "status", "deployment/web", "-n", "default", "--timeout=90s")
	eventuallyPrints(t, "1", "get", "pod", "web-0", "-n", "default", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
	kubectl(t, "wait", "--for=condition=Ready", "pod/web-0", "-n", "shop", "--timeout=90s")

	pasted := 0
	for _, verb := range []string{
		"start", "status", "profile list", "config list", "config get", "update-context", "version", "doctor", "addons list", "tunnel", "ip", "completion",
		"image build", "image load", "image ls", "image rm", "logs", "why", "service", "open", "up",
		"new web", "new ingress", "new worker", "new cron", "new job", "new postgres", "new redis",
	} {
		for _, line := range helpExamples(t, verb) {
			if skipped(line) {
				continue
			}
			pasted++
			script := `cd "$0" && PATH="$0:$1:/usr/bin:/bin" && set -e -o pipefail; ` + line
			r := try(t, which(t, "bash"), "-c", script, dir, filepath.Dir(shared.bin))
			unwell := r.code == 11 && verb == "status" // what other tests have left
			if r.code != 0 && !unwell {
				t.Errorf("the help of %s shows `%s`: %s", verb, line, r)
			}
		}
	}
	if pasted < 40 {
		t.Errorf("only %d examples were found", pasted)
	}
}

func skipped(line string) bool {
	for pattern := range unpasted {
		if pattern.MatchString(line) {
			return true
		}
	}
	return false
}

func which(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
