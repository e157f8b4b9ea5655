package e2e

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// example is how a directory below examples/ shows that it works. Images that the directory would pull are replaced by ones
// that are made here; everything else is applied as it lies there.
type example struct {
	check func(t *testing.T)
}

var examples = map[string]example{
	"hello": {func(t *testing.T) {
		kubectl(t, "rollout", "status", "deployment/hello", "--timeout=90s")
		eventuallyServes(t, serviceURL(t, "hello"), "1.0")
		skiff(t, "set", "image", "deployment/hello", "hello=skiff.local/hello:2.0", "-n", "example-hello")
		eventuallyServes(t, serviceURL(t, "hello"), "2.0")
	}},
	"rolling-update": {func(t *testing.T) {
		kubectl(t, "rollout", "status", "deployment/k8s-demo", "--timeout=3m")
		eventuallyServes(t, serviceURL(t, "k8s-demo"), "1.0")
		visitors := visit(t, serviceURL(t, "k8s-demo"))
		kubectl(t, "set", "image", "deployment/k8s-demo", "web=skiff.local/hello:2.0")
		kubectl(t, "rollout", "status", "deployment/k8s-demo", "--timeout=3m")
		visitors.mustBeContent(t)
		eventuallyServes(t, serviceURL(t, "k8s-demo"), "2.0")
	}},
	"three-tier": {func(t *testing.T) {
		for _, w := range []string{"statefulset/db", "deployment/api", "deployment/web"} {
			kubectl(t, "rollout", "status", w, "--timeout=2m")
		}
		eventuallyPrints(t, "Bound", "get", "persistentvolumeclaims")
		eventuallyServes(t, serviceURL(t, "web"), "2.0")
	}},
	"sidecar": {func(t *testing.T) {
		eventuallyPrints(t, "sidecar works", "logs", "sidecar", "-c", "reader")
	}},
	"batch": {func(t *testing.T) {
		kubectl(t, "wait", "--for=condition=Complete", "job/test-run", "--timeout=3m")
		if got := skiff(t, "logs", "job/test-run", "-n", "example-batch"); strings.Count(got, "| ok") != 20 {
			t.Errorf("the logs of twenty pods:\n%s", got)
		}
	}},
	"cronjob": {func(t *testing.T) {
		kubectl(t, "create", "job", "--from=cronjob/report", "now")
		kubectl(t, "wait", "--for=condition=Complete", "job/now", "--timeout=90s")
	}},
	"ingress-canary": {func(t *testing.T) {
		kubectl(t, "rollout", "status", "deployment/stable", "--timeout=90s")
		kubectl(t, "rollout", "status", "deployment/canary", "--timeout=90s")
	}},
	"operator": {func(t *testing.T) {
		kubectl(t, "rollout", "status", "deployment/greeter", "--timeout=90s")
		eventuallyPrints(t, "Hello, world!", "get", "configmap", "greeting-world", "-o", "jsonpath={.data.text}")
		eventuallyPrints(t, "Hello, world!", "get", "greetings")
		kubectl(t, "delete", "greeting", "world")
		eventually(t, slow, func() string {
			if r := try(t, shared.kubectl, "get", "configmap", "greeting-world"); r.code == 0 {
				return "the ConfigMap outlives its Greeting"
			}
			return ""
		})
	}},
	"hot-reload": {func(t *testing.T) {
		kubectl(t, "rollout", "status", "deployment/hot-reload", "--timeout=90s")
		eventuallyServes(t, serviceURL(t, "hot-reload"), "Change me")
	}},
}

func serviceURL(t *testing.T, name string) string {
	t.Helper()
	return nodePortURL(t, name)
}

func TestEveryExampleRuns(t *testing.T) {
	ensureStarted(t)
	root := "../../../examples"
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			x, known := examples[e.Name()]
			if !known {
				t.Fatalf("examples/%s has no check", e.Name())
			}
			namespace(t, "example-"+e.Name())
			dir := localImages(t, filepath.Join(root, e.Name()))
			// Twice: the kinds that a directory defines exist only after the first time.
			eventually(t, 30*time.Second, func() string {
				if r := try(t, shared.kubectl, "apply", "-f", dir); r.code != 0 {
					return r.String()
				}
				return ""
			})
			x.check(t)
		})
	}
}

// localImages copies an example's manifests with images that exist here.
func localImages(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	manifests, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifests in %s: %v", from, err)
	}
	if _, err := os.Stat(filepath.Join(from, "Dockerfile")); err == nil {
		build := exec.Command("docker", "build", "-q", "--build-arg", "BASE="+shared.image+":0.1", "-t", shared.image+":dev", from)
		build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("docker build %s: %v: %s", from, err, out)
		}
		t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", shared.image+":dev").Run() })
	}
	replace := strings.NewReplacer(
		"image: busybox:1.37", "image: "+shared.image+":0.1",
		"image: hot-reload:dev", "image: "+shared.image+":dev",
		"image: postgres:17-alpine", "image: "+shared.image+`:0.1
          command: [sh, -c, "trap 'exit 0' TERM; touch $PGDATA; httpd -f -p 5432 -h /www & wait $!"]`,
	)
	for _, m := range manifests {
		raw, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		text := replace.Replace(string(raw))
		if strings.Contains(text, "image: alpine/kubectl") {
			text = strings.ReplaceAll(text, "image: alpine/kubectl:1.34.1", "image: "+kubectlImage(t))
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(m)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// kubectlImage is the demo image with a kubectl in it, made from the same sources as skiff's verbs.
func kubectlImage(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kubectl")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, "k8s.io/kubernetes/cmd/kubectl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kubectl: %v: %s", err, out)
	}
	raw, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	context := &bytes.Buffer{}
	w := tar.NewWriter(context)
	for name, body := range map[string][]byte{
		"kubectl":    raw,
		"Dockerfile": []byte("FROM " + shared.image + ":0.1\nCOPY kubectl /bin/kubectl\n"),
	} {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body)), Typeflag: tar.TypeReg})
		_, _ = w.Write(body)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	image := shared.image + ":kubectl"
	docker := exec.Command("docker", "build", "-q", "-t", image, "-")
	docker.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	docker.Stdin = context
	if out, err := docker.CombinedOutput(); err != nil {
		t.Fatalf("docker build: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", image).Run() })
	return image
}
