package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These are the steps of a usual Kubernetes tutorial, typed with the stock client.

const podManifest = `
apiVersion: v1
kind: Pod
metadata:
  name: k8s-demo
  labels: {app: k8s}
spec:
  containers:
  - name: k8s-demo
    image: IMAGE:0.1
    ports: [{containerPort: 80}]
`

const serviceManifest = `
apiVersion: v1
kind: Service
metadata: {name: k8s-demo-svc, labels: {app: k8s}}
spec:
  type: NodePort
  selector: {app: k8s}
  ports: [{port: 80, targetPort: 80}]
`

func TestAPodAndANodePortService(t *testing.T) {
	ensureStarted(t)
	namespace(t, "pod")
	kubectl(t, "create", "-f", file(t, "pod.yaml", podManifest))
	eventuallyPrints(t, "1/1", "get", "pods")
	if out := kubectl(t, "get", "pods"); !strings.Contains(out, "Running") {
		t.Errorf("get pods: %s", out)
	}
	if out := kubectl(t, "describe", "pods"); !strings.Contains(out, "Labels:           app=k8s") {
		t.Errorf("describe pods: %s", out)
	}
	kubectl(t, "create", "-f", file(t, "svc.yaml", serviceManifest))
	port := jsonpath(t, "{.spec.ports[0].nodePort}", "svc", "k8s-demo-svc")
	if out := kubectl(t, "get", "svc"); !strings.Contains(out, "80:"+port+"/TCP") || !strings.HasPrefix(port, "3") {
		t.Errorf("get svc: %s", out)
	}
	eventuallyServes(t, nodePortURL(t, "k8s-demo-svc"), "version 0.1")

	if out := kubectl(t, "exec", "k8s-demo", "--", "hostname"); strings.TrimSpace(out) != "k8s-demo" {
		t.Errorf("hostname: %q", out)
	}
	if r := try(t, shared.kubectl, "exec", "k8s-demo", "--", "sh", "-c", "exit 7"); r.code != 7 {
		t.Errorf("the exit code of exec: %s", r)
	}
	if r := tryIn(t, "typed\n", nil, shared.kubectl, "exec", "-i", "k8s-demo", "--", "cat"); r.out != "typed\n" {
		t.Errorf("exec -i: %s", r)
	}
	note := filepath.Join(t.TempDir(), "note")
	if err := os.WriteFile(note, []byte("carried\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "cp", note, "k8s-demo:/tmp/note")
	if out := kubectl(t, "exec", "k8s-demo", "--", "cat", "/tmp/note"); out != "carried\n" {
		t.Errorf("cp: %q", out)
	}
	kubectl(t, "label", "pod", "k8s-demo", "workerid=123")
	kubectl(t, "delete", "pod", "-l", "workerid=123")
	if out := kubectl(t, "get", "pods", "-o", "name"); out != "" {
		t.Errorf("pods after deletion by label: %q", out)
	}
}

func deployment(version string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: k8s-demo-deployment}
spec:
  replicas: %d
  minReadySeconds: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 1, maxSurge: 1}
  selector: {matchLabels: {app: k8s}}
  template:
    metadata: {labels: {app: k8s}}
    spec:
      containers:
      - name: k8s-demo-pod
        image: IMAGE:%s
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
`, replicas, version)
}

func TestARollingUpdateOfTenReplicas(t *testing.T) {
	ensureStarted(t)
	namespace(t, "rolling")
	path := file(t, "deployment.yaml", deployment("0.1", 10))
	kubectl(t, "create", "-f", path, "--record")
	kubectl(t, "create", "-f", file(t, "svc.yaml", serviceManifest))
	eventuallyPrints(t, "10/10", "get", "deployments")
	if out := kubectl(t, "get", "rs"); !strings.Contains(out, "DESIRED   CURRENT   READY   AGE") {
		t.Errorf("get rs: %s", out)
	}
	if out := kubectl(t, "get", "deployments"); !strings.Contains(out, "READY   UP-TO-DATE   AVAILABLE   AGE") {
		t.Errorf("get deployments: %s", out)
	}
	url := nodePortURL(t, "k8s-demo-svc")
	eventuallyServes(t, url, "version 0.1")

	victim := strings.Fields(kubectl(t, "get", "pods", "-o", "name"))[0]
	kubectl(t, "delete", victim, "--wait=false")
	eventually(t, slow, func() string {
		names := kubectl(t, "get", "pods", "-o", "name")
		if n := len(strings.Fields(names)); n != 10 || strings.Contains(names, victim) {
			return "the deleted pod is not replaced: " + names
		}
		return ""
	})
	eventuallyPrints(t, "10/10", "get", "deployments")

	rewrite := func(version string) {
		content := strings.ReplaceAll(deployment(version, 10), "IMAGE", shared.image)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	visitors := visit(t, url)
	rewrite("0.2")
	kubectl(t, "apply", "-f", path, "--record")
	kubectl(t, "rollout", "status", "deployment", "k8s-demo-deployment", "--timeout=5m")
	eventuallyServes(t, url, "version 0.2")
	visitors.mustBeContent(t)
	if out := kubectl(t, "rollout", "history", "deployment", "k8s-demo-deployment"); !strings.Contains(out, "kubectl apply --filename="+path+" --record=true") {
		t.Errorf("history: %s", out)
	}

	kubectl(t, "rollout", "undo", "deployment", "k8s-demo-deployment", "--to-revision=1")
	kubectl(t, "rollout", "pause", "deployment", "k8s-demo-deployment")
	kubectl(t, "rollout", "resume", "deployment", "k8s-demo-deployment")
	kubectl(t, "rollout", "status", "deployment", "k8s-demo-deployment", "--timeout=5m")
	eventuallyServes(t, url, "version 0.1")

	kubectl(t, "scale", "deployment", "k8s-demo-deployment", "--replicas=2")
	kubectl(t, "rollout", "pause", "deployment", "k8s-demo-deployment")
	kubectl(t, "set", "image", "deployment/k8s-demo-deployment", "k8s-demo-pod="+shared.image+":0.2")
	time.Sleep(2 * time.Second) // that nothing happens can't be awaited
	if out := kubectl(t, "get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"); strings.Contains(out, ":0.2") {
		t.Errorf("a paused rollout went on: %s", out)
	}
	kubectl(t, "rollout", "resume", "deployment", "k8s-demo-deployment")
	kubectl(t, "rollout", "status", "deployment", "k8s-demo-deployment", "--timeout=5m")
}

func TestADeploymentAsOldTutorialsWriteIt(t *testing.T) {
	ensureStarted(t)
	namespace(t, "old")
	r := try(t, shared.kubectl, "create", "-f", file(t, "old.yaml", `
apiVersion: apps/v1beta1
kind: Deployment
metadata: {name: k8s-demo-deployment}
spec:
  replicas: 1
  template:
    metadata: {labels: {app: k8s}}
    spec:
      containers:
      - name: k8s-demo-pod
        image: IMAGE:0.1
`))
	if r.code != 0 || !strings.Contains(strings.ToLower(r.errOut), "warning") {
		t.Fatalf("apps/v1beta1 must work, with a warning: %s", r)
	}
	eventuallyPrints(t, "1/1", "get", "deployments")
}

func TestManyFilesAtOnce(t *testing.T) {
	ensureStarted(t)
	namespace(t, "files")
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		content := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {k: one}\n", name)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kubectl(t, "apply", "-f", dir+"/")
	if out := kubectl(t, "get", "configmaps", "a", "b", "c", "-o", "name"); strings.Count(out, "configmap/") != 3 {
		t.Errorf("apply -f DIR: %s", out)
	}
	kubectl(t, "replace", "-f", file(t, "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: two}\n"))
	if got := jsonpath(t, "{.data.k}", "configmap", "a"); got != "two" {
		t.Errorf("replace: %q", got)
	}
	kubectl(t, "delete", "-f", filepath.Join(dir, "a.yaml"), "-f", filepath.Join(dir, "b.yaml"))
	if out := kubectl(t, "get", "configmaps", "-o", "name"); strings.Contains(out, "configmap/a\n") || !strings.Contains(out, "configmap/c\n") {
		t.Errorf("delete -f -f: %s", out)
	}
}

func TestAJobOfTwentyCompletions(t *testing.T) {
	ensureStarted(t)
	namespace(t, "job")
	kubectl(t, "create", "-f", file(t, "job.yaml", `
apiVersion: batch/v1
kind: Job
metadata: {name: twenty}
spec:
  completions: 20
  parallelism: 4
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: work, image: "IMAGE:0.1", command: [sh, -c, "echo done"]}
`))
	kubectl(t, "wait", "--for=condition=Complete", "job/twenty", "--timeout=5m")
	if got := jsonpath(t, "{.status.succeeded}", "job", "twenty"); got != "20" {
		t.Errorf("succeeded = %s", got)
	}
	if out := kubectl(t, "logs", "job/twenty"); !strings.Contains(out, "done") {
		t.Errorf("logs: %q", out)
	}
}
