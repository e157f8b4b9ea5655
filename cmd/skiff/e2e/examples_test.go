package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// example is how a directory below examples/ shows that it works. Images that the directory would pull are replaced by ones
// that are made here; everything else is applied as it lies there, in a namespace that enforces Pod Security restricted.
type example struct {
	check func(t *testing.T, dir string)
}

var examples = map[string]example{
	"hello": {func(t *testing.T, dir string) {
		kubectl(t, "rollout", "status", "deployment/hello", "--timeout=90s")
		eventuallyServes(t, nodePortURL(t, "hello"), "1.0")
		visitors := visit(t, nodePortURL(t, "hello"))
		edit(t, filepath.Join(dir, "hello.yaml"), "hello:1.0", "hello:2.0")
		skiff(t, "up", "--once", "-n", "example-hello", dir)
		kubectl(t, "rollout", "status", "deployment/hello", "--timeout=90s")
		visitors.mustBeContent(t)
		eventuallyServes(t, nodePortURL(t, "hello"), "2.0")
	}},
	"rolling-update": {func(t *testing.T, _ string) {
		kubectl(t, "rollout", "status", "deployment/k8s-demo", "--timeout=3m")
		eventuallyServes(t, nodePortURL(t, "k8s-demo"), "1.0")
		visitors := visit(t, nodePortURL(t, "k8s-demo"))
		kubectl(t, "set", "image", "deployment/k8s-demo", "web=skiff.local/hello:2.0")
		kubectl(t, "rollout", "status", "deployment/k8s-demo", "--timeout=3m")
		visitors.mustBeContent(t)
		eventuallyServes(t, nodePortURL(t, "k8s-demo"), "2.0")
		if out := kubectl(t, "rollout", "history", "deployment/k8s-demo"); !strings.Contains(out, "\n1 ") || !strings.Contains(out, "\n2 ") {
			t.Errorf("the history lacks a revision:\n%s", out)
		}
		// Undoing takes as long again; the tutorial's test does it.
	}},
	"three-tier": {func(t *testing.T, _ string) {
		for _, w := range []string{"statefulset/db", "deployment/api", "deployment/web"} {
			kubectl(t, "rollout", "status", w, "--timeout=2m")
		}
		eventuallyPrints(t, "Bound", "get", "persistentvolumeclaims")
		eventuallyServes(t, nodePortURL(t, "web"), "2.0")
		// The volume outlives the database's pod.
		kubectl(t, "exec", "db-0", "--", "sh", "-c", "echo kept >$PGDATA/../row")
		kubectl(t, "delete", "pod", "db-0", "--grace-period=1")
		kubectl(t, "rollout", "status", "statefulset/db", "--timeout=2m")
		if out := kubectl(t, "exec", "db-0", "--", "sh", "-c", "cat $PGDATA/../row"); !strings.Contains(out, "kept") {
			t.Errorf("the next pod reads %q", out)
		}
	}},
	"sidecar": {func(t *testing.T, _ string) {
		eventuallyPrints(t, "sidecar works", "logs", "sidecar", "-c", "reader")
	}},
	"batch": {func(t *testing.T, _ string) {
		kubectl(t, "wait", "--for=condition=Complete", "job/test-run", "--timeout=3m")
		if got := skiff(t, "logs", "job/test-run", "-n", "example-batch"); strings.Count(got, "| ok") != 20 {
			t.Errorf("the logs of twenty pods:\n%s", got)
		}
		if failed := jsonpath(t, "{.status.failed}", "job/test-run"); failed != "1" {
			t.Errorf("%q pods failed, want the first of share 13", failed)
		}
	}},
	"cronjob": {func(t *testing.T, _ string) {
		kubectl(t, "create", "job", "--from=cronjob/report", "now")
		kubectl(t, "wait", "--for=condition=Complete", "job/now", "--timeout=90s")
		eventuallyPrints(t, "everything is fine", "logs", "job/now")
	}},
	"ingress-canary": {func(t *testing.T, _ string) {
		kubectl(t, "rollout", "status", "deployment/stable", "--timeout=90s")
		kubectl(t, "rollout", "status", "deployment/canary", "--timeout=90s")
		shop := strings.TrimSpace(skiff(t, "service", "shop", "--url"))
		get := func(header string) string {
			t.Helper()
			body, err := pageOf(shop, func(r *http.Request) {
				if header != "" {
					r.Header.Set("X-Canary", header)
				}
			})
			if err != nil {
				t.Errorf("%s with x-canary %q: %v", shop, header, err)
			}
			return body
		}
		eventuallyServes(t, shop, "hello")
		for range 20 {
			if got := get("always"); !strings.Contains(got, "2.0") {
				t.Fatalf("with x-canary: always the stable version answers: %q", got)
			}
			if got := get("never"); !strings.Contains(got, "1.0") {
				t.Fatalf("with x-canary: never the canary answers: %q", got)
			}
		}
		canary := 0
		for range 400 {
			if strings.Contains(get(""), "2.0") {
				canary++
			}
		}
		// A tenth of 400, give or take four standard deviations of a fair draw.
		if canary < 16 || canary > 64 {
			t.Errorf("%d of 400 requests went to the canary, want about 40", canary)
		}
	}},
	"operator": {func(t *testing.T, _ string) {
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
	"hot-reload": {func(t *testing.T, dir string) {
		kubectl(t, "rollout", "status", "deployment/hot-reload", "--timeout=90s")
		eventuallyServes(t, nodePortURL(t, "hot-reload"), "Change me")
		startLoop(t, "-n", "example-hot-reload", dir).until(t, "the loop to watch", func(e upEvent) bool { return e.Type == "watching" })
		edit(t, filepath.Join(dir, "www", "index.html"), "Change me", "Changed")
		buildImage(t, shared.image+":dev", dir)
		eventuallyServes(t, nodePortURL(t, "hot-reload"), "Changed")
	}},
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
			restrictedNamespace(t, "example-"+e.Name())
			dir := localExample(t, filepath.Join(root, e.Name()))
			skiff(t, "up", "--once", "-n", "example-"+e.Name(), dir)
			x.check(t, dir)
		})
	}
}

// restrictedNamespace is a namespace that takes only what Pod Security's restricted level allows.
func restrictedNamespace(t *testing.T, name string) {
	t.Helper()
	namespace(t, name)
	kubectl(t, "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
	if r := try(t, shared.kubectl, "run", "refused", "--image="+shared.image+":0.1"); r.code == 0 {
		t.Fatalf("the namespace takes anything: %s", r)
	}
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), from) {
		t.Fatalf("%s lacks %q", path, from)
	}
	save(t, path, strings.ReplaceAll(string(raw), from, to))
}

// localExample copies an example with images that exist here.
func localExample(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer(
		"busybox:1.37", shared.image+":0.1",
		"hot-reload:dev", shared.image+":dev",
		"image: postgres:17-alpine", "image: "+shared.image+`:0.1
          command: [sh, -c, "trap 'exit 0' TERM; mkdir -p $PGDATA; httpd -f -p 5432 -h /www & wait $!"]`,
	)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			continue
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := replace.Replace(string(raw))
		if strings.Contains(text, "alpine/kubectl:1.34.1") {
			text = strings.ReplaceAll(text, "alpine/kubectl:1.34.1", kubectlImage(t))
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "Dockerfile")); err == nil {
		buildImage(t, shared.image+":dev", dir)
	}
	return dir
}

// kubectlImage is the demo image with a kubectl in it, made from the same sources as skiff's verbs.
func kubectlImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	goBinary(t, ".", filepath.Join(dir, "kubectl"), "k8s.io/kubernetes/cmd/kubectl")
	save(t, filepath.Join(dir, "Dockerfile"), "FROM "+shared.image+":0.1\nCOPY kubectl /bin/kubectl\n")
	buildImage(t, shared.image+":kubectl", dir)
	return shared.image + ":kubectl"
}
