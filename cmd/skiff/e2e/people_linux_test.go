package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inColour runs skiff on a terminal that has colours.
func inColour(t *testing.T, args ...string) *terminal {
	t.Helper()
	return openTerminal(t, "env", append([]string{"-u", "NO_COLOR", shared.bin}, args...)...)
}

// chatter is two pods that log JSON and plain lines, and end at once.
const chatter = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: talker}
spec:
  replicas: 2
  selector: {matchLabels: {app: talker}}
  template:
    metadata: {labels: {app: talker}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: IMAGE:0.1
        command: [sh, -c, 'echo "{\"level\":\"error\",\"msg\":\"boom\",\"n\":1}"; while :; do echo "tick from $HOSTNAME"; sleep 1; done']
      - name: other
        image: IMAGE:0.1
        command: [sh, -c, 'echo aside; exec sleep 1000']
`

func TestLogsOnATerminal(t *testing.T) {
	ensureStarted(t)
	namespace(t, "talk")
	kubectl(t, "apply", "-f", file(t, "chatter.yaml", chatter))
	kubectl(t, "rollout", "status", "deployment/talker", "--timeout=90s")
	pods := strings.Fields(jsonpath(t, "{.items[*].metadata.name}", "pods"))
	if len(pods) != 2 {
		t.Fatalf("pods: %v", pods)
	}

	follow := inColour(t, "logs", "-f", "-n", "talk", "-l", "app=talker", "-c", "app")
	colours := map[string]string{}
	for _, pod := range pods {
		follow.shows("tick from " + pod)
		named := regexp.MustCompile(`\x1b\[(\d+)m` + pod + ` app +\|`).FindStringSubmatch(follow.written())
		if named == nil {
			t.Fatalf("the lines of %s have no colour:\n%q", pod, follow.written())
		}
		colours[named[1]] = pod
	}
	if len(colours) != 2 {
		t.Errorf("two pods share a colour: %v", colours)
	}
	follow.shows("\x1b[31mERROR\x1b[0m boom \x1b[2mn=")
	if strings.Contains(follow.written(), "aside") {
		t.Error("-c app shows the other container")
	}
	kubectl(t, "delete", "pod", pods[0], "--wait=false")
	replaced := ""
	eventually(t, slow, func() string {
		for _, pod := range strings.Fields(jsonpath(t, "{.items[*].metadata.name}", "pods")) {
			if pod != pods[0] && pod != pods[1] {
				replaced = pod
				return ""
			}
		}
		return "no pod took the deleted one's place"
	})
	follow.shows("tick from " + replaced)
	follow.enter("\x03")
	follow.exits(0)

	// Off a terminal JSON stays what it is; what is asked for is filtered.
	for _, test := range []struct {
		args            []string
		shows, conceals string
	}{
		{[]string{"-l", "app=talker", "--grep", "b[o]+m"}, `{"level":"error","msg":"boom","n":1}`, "tick"},
		{[]string{"-l", "app=talker", "--exclude", "tick"}, "aside", "tick"},
		{[]string{"^talker-.*", "-c", "ot.*"}, "aside", "boom"},
		{[]string{"deployment/talker", "--since", "1h", "--tail", "1"}, "tick", "boom"},
		{[]string{"deployment/talker", "-c", "other", "--since-time", "2999-01-01T00:00:00Z"}, "", "aside"},
	} {
		out := skiff(t, append([]string{"logs", "-n", "talk"}, test.args...)...)
		if !strings.Contains(out, test.shows) || strings.Contains(out, test.conceals) {
			t.Errorf("skiff logs %s:\n%s", strings.Join(test.args, " "), out)
		}
	}
}

func TestStatusIsWatchedOnATerminal(t *testing.T) {
	ensureStarted(t)
	namespace(t, "watched")
	watch := inColour(t, "status", "-w")
	watch.shows("✓\x1b[0m API")
	kubectl(t, "create", "deployment", "lost", "--image="+shared.image+":nowhere", "--replicas=3")
	watch.shows("image " + shared.image + ":nowhere is missing, and 3 pods wait for it")
	kubectl(t, "delete", "deployment", "lost")
	eventually(t, slow, func() string {
		// What was drawn last takes the place of everything before it.
		screens := strings.Split(watch.written(), "\x1b[H\x1b[2J")
		if last := screens[len(screens)-1]; len(screens) < 3 || !strings.Contains(last, "API") || strings.Contains(last, ":nowhere") {
			return fmt.Sprintf("after %d screens the last is:\n%s", len(screens)-1, last)
		}
		return ""
	})
	watch.enter("\x03")
	watch.exits(0)
}

func TestAShellInTheClustersNetwork(t *testing.T) {
	ensureStarted(t)
	namespace(t, "reached")
	kubectl(t, "create", "deployment", "web", "--image="+shared.image+":0.1")
	kubectl(t, "expose", "deployment", "web", "--port=80")
	kubectl(t, "rollout", "status", "deployment/web", "--timeout=90s")
	shell := openTerminal(t, shared.bin, "shell", "--image", shared.image+":0.1")
	shell.enter("fetch http://web.reached/\n")
	shell.shows("Hello from version 0.1")
	shell.enter("exit 7\n")
	shell.exits(7)
	if out := skiff(t, "ssh", "--image", shared.image+":0.1", "--", "fetch", "http://web.reached.svc.cluster.local/"); !strings.Contains(out, "version 0.1") {
		t.Errorf("a command in the shell: %s", out)
	}
	if left := containers(t, "skiff.local/role=helper"); left != "" {
		t.Errorf("the shell outlives itself: %s", left)
	}
	r := try(t, shared.bin, "shell", "--image", shared.image+":nowhere", "--", "true")
	if r.code != 1 || !strings.Contains(r.errOut, "--image NAME takes another one") {
		t.Errorf("an image that is nowhere: %s", r)
	}
}

func TestOpenFindsABrowserOrPrintsTheURL(t *testing.T) {
	ensureStarted(t)
	namespace(t, "opened")
	kubectl(t, "create", "service", "nodeport", "shop", "--tcp=80:80")
	url := strings.TrimSuffix(nodePortURL(t, "shop"), "/")
	r := tryIn(t, "", []string{"PATH=" + t.TempDir()}, shared.bin, "open", "shop", "-n", "opened")
	if r.code != 0 || strings.TrimSpace(r.out) != url || !strings.Contains(r.errOut, "no browser could be opened here") {
		t.Errorf("without a browser: %s", r)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"$@\" >" + dir + "/opened\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r = tryIn(t, "", []string{"PATH=" + dir}, shared.bin, "open", "opened/shop")
	if raw, err := os.ReadFile(filepath.Join(dir, "opened")); r.code != 0 || err != nil || strings.TrimSpace(string(raw)) != url {
		t.Errorf("the browser was asked for %q (%v): %s", raw, err, r)
	}
}

func TestPeopleAreAskedOnATerminal(t *testing.T) {
	ensureStarted(t)
	deletion := openTerminal(t, shared.bin, "delete")
	deletion.shows("Delete " + shared.profile + " with all objects and volumes? [y/N]")
	deletion.enter("n\n")
	deletion.shows("nothing was deleted")
	deletion.exits(1)
	if !readStatus(t).Running {
		t.Error("it was deleted all the same")
	}
	dir := t.TempDir()
	made := openTerminal(t, shared.bin, "new", "web", "shop", "--dir", dir, "--port", "9090")
	for _, answer := range []string{"shop:dev", "/ready", "4"} {
		made.shows("]: ")
		made.enter(answer + "\n")
	}
	made.exits(0)
	raw, err := os.ReadFile(filepath.Join(dir, "shop.yaml"))
	for _, want := range []string{"image: shop:dev", `path: "/ready"`, "replicas: 4", "containerPort: 9090"} {
		if err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("the manifest lacks %s (%v):\n%s", want, err, raw)
		}
	}
}

// complete asks bash for what it offers after a command line, with the script that skiff prints.
func complete(t *testing.T, words ...string) string {
	t.Helper()
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + w + "'"
	}
	// What bash-completion, which the script builds on, does with words that need no splitting.
	script := fmt.Sprintf(`
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
PATH=%s:$PATH
source <(skiff completion bash)
COMP_WORDS=(skiff %s); COMP_CWORD=%d; COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=63
__start_skiff
printf '%%s\n' "${COMPREPLY[@]}"`, filepath.Dir(shared.bin), strings.Join(quoted, " "), len(words))
	c := exec.Command("bash", "-c", script)
	c.Env = shared.env
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("complete %s: %v: %s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

func TestTheShellCompletesLiveObjects(t *testing.T) {
	ensureStarted(t)
	namespace(t, "completed")
	kubectl(t, "create", "deployment", "harbour", "--image="+shared.image+":0.1")
	kubectl(t, "create", "service", "nodeport", "harbour", "--tcp=80:80")
	kubectl(t, "rollout", "status", "deployment/harbour", "--timeout=90s")
	pod := jsonpath(t, "{.items[0].metadata.name}", "pods")
	for _, test := range []struct {
		words []string
		want  string
	}{
		{[]string{"sta"}, "status"},
		{[]string{"start", "--sub"}, "--subnet"},
		{[]string{"status", "-o", ""}, "json"},
		{[]string{"get", "deployments", "-n", "completed", ""}, "harbour"},
		{[]string{"get", "pods", "-n", "comp"}, "completed"},
		{[]string{"-n", "completed", "logs", "har"}, pod},
		{[]string{"why", "-n", "completed", ""}, pod},
		{[]string{"logs", "-n", "completed", pod, "-c", ""}, shared.image},
		{[]string{"open", "har"}, "harbour"},
		{[]string{"kubectl", "rollout", "status", "deployment", "-n", "completed", ""}, "harbour"},
		{[]string{"-p", "t-e2e"}, shared.profile},
		{[]string{"profile", "use", ""}, shared.profile},
		{[]string{"image", "rm", shared.image}, shared.image},
		{[]string{"config", "get", "api"}, "api-port"},
		{[]string{"new", "post"}, "postgres"},
	} {
		if out := complete(t, test.words...); !strings.Contains(out, test.want) {
			t.Errorf("skiff %s<TAB> lacks %q:\n%s", strings.Join(test.words, " "), test.want, out)
		}
	}
}
