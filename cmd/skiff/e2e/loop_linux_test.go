package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// manifests is a directory "k8s" in a new one, which is returned.
func manifests(t *testing.T, files map[string]string) (parent string) {
	t.Helper()
	parent = t.TempDir()
	for name, text := range files {
		path := filepath.Join(parent, "k8s", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		save(t, path, text)
	}
	return parent
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const helloManifest = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
spec:
  replicas: %d
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: hello, image: "skiff.local/hello:%s"}]
`

// What a person types and saves in an hour with `skiff up`, and the whole scrollback that it leaves.
func TestASessionInATerminal(t *testing.T) {
	ensureStarted(t)
	namespace(t, "session")
	dir := manifests(t, map[string]string{"a.yaml": configMap("a", "1"), "b.yaml": configMap("b", "1")})
	a := filepath.Join(dir, "k8s/a.yaml")
	up := openScreen(t, dir, "up", "k8s")
	up.shows("watching k8s: 2 objects")

	save(t, a, configMap("a", "2"))
	up.shows("ConfigMap a configured data.value")
	save(t, a, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n\tvalue: \"3\"\n")
	up.shows("a tab stands here")
	if got := jsonpath(t, "{.data.value}", "configmap", "a"); got != "2" {
		t.Errorf("the broken file made it %q", got)
	}
	save(t, a, configMap("a", "3"))
	up.shows("k8s/a.yaml is fine again")
	up.shows("ConfigMap a configured data.value")
	uid := jsonpath(t, "{.metadata.uid}", "configmap", "a")
	must(t, os.Rename(a, filepath.Join(dir, "k8s/z.yaml")))
	eventually(t, slow, func() string {
		if got := jsonpath(t, `{.metadata.annotations.skiff\.local/source}`, "configmap", "a"); got != "k8s/z.yaml" {
			return "the renamed file's object is still said to come from " + got
		}
		return ""
	})
	must(t, os.Remove(filepath.Join(dir, "k8s/b.yaml")))
	up.shows("ConfigMap b pruned")
	if got := jsonpath(t, "{.metadata.uid}", "configmap", "a"); got != uid {
		t.Error("the renamed file's object was made anew")
	}
	save(t, filepath.Join(dir, "k8s/data.yaml"), "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Mi}}\n")
	up.shows("PersistentVolumeClaim data created")
	must(t, os.Remove(filepath.Join(dir, "k8s/data.yaml")))
	up.shows("PersistentVolumeClaim data left the sources")
	up.ctrlC()
	want := `+ ConfigMap a created
+ ConfigMap b created
  2 created in T
  watching k8s: 2 objects in skiff/session (Ctrl-C ends the watch and leaves everything running)
~ ConfigMap a configured data.value
  1 configured, 1 unchanged in T
✗ k8s/a.yaml:6:1: found character that cannot start any token
    → a tab stands here: YAML is indented with spaces
✓ k8s/a.yaml is fine again
~ ConfigMap a configured data.value
  1 configured, 1 unchanged in T
- ConfigMap b pruned: no longer in k8s/b.yaml
  1 pruned, 1 unchanged in T
+ PersistentVolumeClaim data created
  1 created, 1 unchanged in T
= PersistentVolumeClaim data left the sources and stays: it holds data; --prune=all removes it
^C  no longer watching; what was applied stays`
	got := up.transcript()
	// Two objects of a kind are sent at once; which is done first is open.
	got = strings.Replace(got, "+ ConfigMap b created\n+ ConfigMap a created\n", "+ ConfigMap a created\n+ ConfigMap b created\n", 1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected scrollback (-want +got):\n%s", diff)
	}

	again := openScreen(t, dir, "up", "k8s", "--prune=all")
	again.shows("PersistentVolumeClaim data pruned")
	again.ctrlC()
}

// A rollout is drawn in place and leaves one line.
func TestALiveViewLeavesTheScrollbackClean(t *testing.T) {
	ensureStarted(t)
	namespace(t, "live")
	dir := manifests(t, map[string]string{"hello.yaml": fmt.Sprintf(helloManifest, 2, "1.0")})
	up := openScreen(t, dir, "up", "k8s")
	up.shows("Deployment hello ready in", "(2 pods)")
	up.forget()
	save(t, filepath.Join(dir, "k8s/hello.yaml"), fmt.Sprintf(helloManifest, 2, "2.0"))
	up.shows("Deployment hello ready in", "(2 pods)")
	up.forget()
	save(t, filepath.Join(dir, "k8s/hello.yaml"), fmt.Sprintf(helloManifest, 2, "9.9"))
	up.shows("image skiff.local/hello:9.9", "local images with a similar name")
	save(t, filepath.Join(dir, "k8s/hello.yaml"), fmt.Sprintf(helloManifest, 2, "1.0"))
	up.shows("Deployment hello ready in", "(2 pods)")
	up.ctrlC()
	const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
	if !strings.ContainsAny(up.written(), spinner) {
		t.Error("nothing was ever drawn in place")
	}
	for line := range strings.Lines(up.text()) {
		if strings.ContainsAny(line, spinner) {
			t.Errorf("this row of the live view stayed: %s", line)
		}
	}
}

func TestTwoTerminalsAndTwoSets(t *testing.T) {
	ensureStarted(t)
	namespace(t, "sets")
	dir := manifests(t, map[string]string{"a.yaml": configMap("a", "1")})
	other := filepath.Join(dir, "other/b.yaml")
	must(t, os.Mkdir(filepath.Dir(other), 0o755))
	save(t, other, configMap("b", "1")+"---\n"+configMap("a", "9"))
	first := openScreen(t, dir, "up", "k8s")
	first.shows("watching")
	second := openScreen(t, dir, "up", "k8s")
	second.shows("watching")
	if strings.Contains(second.text(), "created") {
		t.Error("the second terminal made again what was there")
	}
	save(t, filepath.Join(dir, "k8s/a.yaml"), configMap("a", "2"))
	eventually(t, slow, func() string { // whoever comes second finds it done and says nothing
		if !strings.Contains(first.text()+second.text(), "ConfigMap a configured") {
			return "neither terminal applied the save"
		}
		return ""
	})
	first.ctrlC()
	second.forget()
	save(t, filepath.Join(dir, "k8s/a.yaml"), configMap("a", "3"))
	second.shows("ConfigMap a configured") // and goes on alone

	another := openScreen(t, dir, "up", "other")
	another.shows("ConfigMap a: other/b.yaml:8:1: it belongs to the set k8s-")
	another.shows("--take-over moves it to this set")
	another.shows("watching other")
	save(t, other, configMap("c", "1"))
	another.shows("ConfigMap b pruned")
	another.ctrlC()
	must(t, os.Remove(filepath.Join(dir, "k8s/a.yaml")))
	second.shows("ConfigMap a pruned")
	second.ctrlC()
	if got := kubectl(t, "get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}"); !strings.Contains(" "+got, " c") || strings.Contains(" "+got, " a") {
		t.Errorf("left are %s", got)
	}
}

func TestACheckoutOf200ManifestsIsOneApply(t *testing.T) {
	ensureStarted(t)
	namespace(t, "checkout")
	files := map[string]string{}
	for i := range 200 {
		files[fmt.Sprintf("%d/%03d.yaml", i%5, i)] = configMap(fmt.Sprintf("c%03d", i), "1")
	}
	dir := manifests(t, files)
	git := func(args ...string) {
		t.Helper()
		c := exec.Command("git", append([]string{"-C", filepath.Join(dir, "k8s"), "-c", "user.name=t", "-c", "user.email=t@localhost"}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-qm", "one")
	git("checkout", "-qb", "two")
	for name, text := range files {
		save(t, filepath.Join(dir, "k8s", name), strings.Replace(text, `"1"`, `"2"`, 1))
	}
	git("rm", "-qrf", "4")
	git("add", "-A")
	git("commit", "-qm", "two")
	git("checkout", "-q", "main")
	up := openScreen(t, dir, "up", "k8s")
	up.shows("watching k8s: 200 objects")
	up.forget()
	git("checkout", "-q", "two")
	eventually(t, slow, func() string {
		if n := strings.Count(up.text(), " pruned: "); n != 40 {
			return fmt.Sprintf("%d objects were pruned, want 40", n)
		}
		return ""
	})
	up.ctrlC()
	// A busy machine pauses git for longer than a burst may.
	if applies := len(regexp.MustCompile(`(?m)^  [0-9]+ configured`).FindAllString(up.text(), -1)); applies < 1 || applies > 5 {
		t.Errorf("the checkout became %d applies", applies)
	}
	if got := strings.Count(kubectl(t, "get", "configmaps", "-o", "jsonpath={.items[*].data.value}"), "2"); got != 160 {
		t.Errorf("%d objects are the other branch's, want 160", got)
	}
}

func TestTheLoopOutlivesTheDaemon(t *testing.T) {
	ensureStarted(t)
	namespace(t, "outlives")
	dir := manifests(t, map[string]string{"a.yaml": configMap("a", "1"), "b.yaml": configMap("b", "1")})
	up := openScreen(t, dir, "up", "k8s")
	up.shows("watching")
	for value, end := range map[string]func(){
		"stopped": func() { skiff(t, "stop", "--keep-pods") },
		"killed": func() {
			process, err := os.FindProcess(readStatus(t).Daemon.PID)
			must(t, err)
			must(t, process.Kill())
		},
	} {
		up.forget()
		end()
		save(t, filepath.Join(dir, "k8s/a.yaml"), configMap("a", value))
		up.shows("the cluster doesn't answer")
		skiff(t, "start", "--quiet")
		up.shows("ConfigMap a configured data.value")
		up.shows("the cluster answers again")
	}
	must(t, os.Remove(filepath.Join(dir, "k8s/b.yaml")))
	up.shows("ConfigMap b pruned")
	up.ctrlC()
}

func TestAnotherContextIsAskedForOnce(t *testing.T) {
	ensureStarted(t)
	namespace(t, "elsewhere")
	dir := manifests(t, map[string]string{"a.yaml": configMap("a", "1")})
	kubectl(t, "config", "set-context", "staging", "--namespace=elsewhere",
		"--cluster="+strings.TrimSpace(kubectl(t, "config", "view", "--minify", "-o", "jsonpath={.contexts[0].context.cluster}")),
		"--user="+strings.TrimSpace(kubectl(t, "config", "view", "--minify", "-o", "jsonpath={.contexts[0].context.user}")))
	t.Cleanup(func() {
		c := exec.Command(shared.kubectl, "config", "delete-context", "staging")
		c.Env = shared.env
		_ = c.Run()
	})
	there := func() bool { return try(t, shared.kubectl, "get", "configmap", "a").code == 0 }

	if r := try(t, shared.bin, "up", "--context", "staging", filepath.Join(dir, "k8s")); r.code == 0 || !strings.Contains(r.errOut, "--yes") || there() {
		t.Errorf("without a terminal:\n%s", r)
	}
	no := openScreen(t, dir, "up", "k8s", "--context", "staging")
	no.shows("changes the cluster staging", "[y/N]")
	no.enter("n\r")
	no.exits(130)
	if there() {
		t.Error("the object was made in spite of the answer")
	}
	no.shows("nothing was changed")
	yes := openScreen(t, dir, "up", "k8s", "--context", "staging")
	yes.shows("[y/N]")
	yes.enter("y\r")
	yes.shows("ConfigMap a created")
	yes.shows("watching k8s: 1 object in staging")
	save(t, filepath.Join(dir, "k8s/a.yaml"), configMap("a", "2"))
	yes.shows("ConfigMap a configured")
	yes.ctrlC()
	if asked := strings.Count(yes.text(), "[y/N]"); asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
	if r := try(t, shared.bin, "up", "--context", "staging", "--yes", "--once", filepath.Join(dir, "k8s")); r.code != 0 {
		t.Errorf("with --yes:\n%s", r)
	}
}

// Standard input is there once: it is applied once, and the next input takes nothing of it away.
func TestWhatIsPipedInIsAppliedOnce(t *testing.T) {
	ensureStarted(t)
	namespace(t, "piped")
	for _, name := range []string{"a", "b"} {
		if r := tryIn(t, configMap(name, "1"), nil, shared.bin, "up", "-"); r.code != 0 || !strings.Contains(r.out, "ConfigMap "+name+" created") {
			t.Errorf("%s", r)
		}
	}
	kubectl(t, "get", "configmap", "a", "b")
	if r := tryIn(t, "kind: [\n", nil, shared.bin, "up", "-"); r.code == 0 || !strings.Contains(r.errOut, "stdin:2:1") {
		t.Errorf("%s", r)
	}
	for input, args := range map[string][]string{"": {"up", "-"}, "x": {"up", "-", "k8s"}, "y": {"up", "-d", "-"}} {
		if r := tryIn(t, input, nil, shared.bin, args...); r.code == 0 || !strings.Contains(r.errOut, "try: ") {
			t.Errorf("%s", r)
		}
	}
}

// A silent terminal looks the same whether a name is misspelt or a pod is quiet.
func TestLogsSayWhatTheyWaitFor(t *testing.T) {
	ensureStarted(t)
	namespace(t, "quiet")
	logs := openScreen(t, t.TempDir(), "logs", "-f", "late.*")
	logs.shows(`waiting: no pod in namespace "quiet" is or matches late.* yet`)
	kubectl(t, "run", "later", "--image="+shared.image+":0.1", "--restart=Never", "--", "echo", "here I am")
	logs.shows("here I am")
}

// Where the kernel gives no watches, as in a full-grown workspace, the loop looks for itself and says so.
func TestALoopWithoutNotifications(t *testing.T) {
	ensureStarted(t)
	if try(t, "unshare", "--user", "--map-root-user", "true").code != 0 {
		t.Skip("no user namespace whose limits could be set")
	}
	namespace(t, "limits")
	dir := manifests(t, map[string]string{"a.yaml": configMap("a", "1"), "deep/b.yaml": configMap("b", "1")})
	for i, limit := range []string{"instances", "watches"} {
		up := openTerminal(t, "unshare", "--user", "--map-root-user", "sh", "-c",
			`echo "$1" >/proc/sys/user/max_inotify_"$0" && cd "$2" && exec "$3" up k8s`, limit, fmt.Sprint(i), dir, shared.bin)
		up.shows("fs.inotify.max_user_" + limit + " is reached")
		up.shows("watching k8s")
		save(t, filepath.Join(dir, "k8s/deep/b.yaml"), configMap("b", limit))
		up.shows("ConfigMap b configured")
		up.enter("\x03")
		up.exits(0)
	}
}
