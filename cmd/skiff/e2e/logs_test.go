package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// talkers are pods whose logs are read in every way that kubectl knows.
const talkers = `
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talk}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: before, image: "IMAGE:0.1", command: [sh, -c, "echo before all"]}
  containers:
  - {name: one, image: "IMAGE:0.1", command: [sh, -c, "echo early; sleep 3; echo late; echo latest; exec sleep 1000"]}
  - {name: two, image: "IMAGE:0.1", command: [sh, -c, "echo second >&2; exec sleep 1000"]}
---
apiVersion: v1
kind: Pod
metadata: {name: crasher}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: main
    image: IMAGE:0.1
    command: [sh, -c, "echo x >> /v/runs; echo run $(wc -l < /v/runs); exit 3"]
    volumeMounts: [{name: v, mountPath: /v}]
---
apiVersion: v1
kind: Pod
metadata: {name: finisher}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: "IMAGE:0.1", command: [sh, -c, "echo begun; until [ -f /tmp/end ]; do sleep 0.1; done; head -c 300000 /dev/zero | tr '\\0' z; echo; echo last words; exit 4"]}
---
apiVersion: v1
kind: Pod
metadata: {name: unborn}
spec:
  containers:
  - {name: main, image: "skiff.local/no-such-image:1", imagePullPolicy: Never}
`

func TestLogs(t *testing.T) {
	ensureStarted(t)
	namespace(t, "logs")
	kubectl(t, "create", "-f", file(t, "talkers.yaml", talkers))
	kubectl(t, "wait", "--for=condition=Ready", "pod/finisher", "--timeout=90s")

	// A log that is followed ends with its container, and not before its last byte.
	followed := make(chan result, 1)
	go func() { followed <- try(t, shared.kubectl, "logs", "-f", "finisher") }()
	eventuallyPrints(t, "begun", "logs", "finisher")
	kubectl(t, "exec", "finisher", "--", "touch", "/tmp/end")

	eventuallyPrints(t, "latest", "logs", "talker", "-c", "one")
	logs := func(args ...string) string { return kubectl(t, append([]string{"logs"}, args...)...) }
	for _, test := range []struct{ args, want string }{
		{"talker -c one", "early\nlate\nlatest\n"},
		{"talker -c before", "before all\n"},
		{"talker -c one --tail=2", "late\nlatest\n"},
		{"talker -c one --limit-bytes=7", "early\nl"},
		{"talker -c one --since=1h", "early\nlate\nlatest\n"},
		{"-l app=talk -c two --prefix --ignore-errors", "[pod/talker/two] second\n"},
	} {
		if got := logs(strings.Fields(test.args)...); got != test.want {
			t.Errorf("kubectl logs %s: %q, want %q", test.args, got, test.want)
		}
	}
	// kubectl asks for several containers in any order.
	all := strings.Fields(logs("talker", "--all-containers"))
	slices.Sort(all)
	if got := strings.Join(all, " "); got != "all before early late latest second" {
		t.Errorf("--all-containers: %q", got)
	}
	lines := strings.Split(strings.TrimSpace(logs("talker", "-c", "one", "--timestamps")), "\n")
	at, text, _ := strings.Cut(lines[1], " ")
	if _, err := time.Parse(time.RFC3339Nano, at); err != nil || text != "late" {
		t.Errorf("--timestamps: %q, %v", lines, err)
	}
	if got := logs("talker", "-c", "one", "--since-time="+at); got != "late\nlatest\n" {
		t.Errorf("--since-time=%s: %q", at, got)
	}
	eventually(t, slow, func() string {
		if got := logs("talker", "-c", "one", "--since=1s"); got != "" {
			return got
		}
		return ""
	})
	if r := try(t, shared.kubectl, "logs", "talker", "-c", "two", "--previous"); r.code == 0 || !strings.Contains(r.errOut, `previous terminated container "two" in pod "talker" not found`) {
		t.Errorf("%s", r)
	}
	if r := try(t, shared.kubectl, "logs", "unborn"); r.code == 0 || !strings.Contains(r.errOut, "is waiting to start") {
		t.Errorf("%s", r)
	}

	r := <-followed
	if r.code != 0 || !strings.HasPrefix(r.out, "begun\nzz") || !strings.HasSuffix(r.out, "z\nlast words\n") || len(r.out) < 300000 {
		t.Errorf("the followed log has %d bytes, begins %.20q and ends %q (exit code %d, %s)", len(r.out), r.out, r.out[max(0, len(r.out)-20):], r.code, r.errOut)
	}
	eventuallyPrints(t, "Failed", "get", "pod", "finisher", "-o", "jsonpath={.status.phase}")
	if got := logs("finisher", "--tail=1"); got != "last words\n" {
		t.Errorf("the log of a container that has ended: %q", got)
	}

	// While the next start is waited for, the last run is both the current and the previous one.
	eventuallyPrints(t, "2 CrashLoopBackOff", "get", "pod", "crasher", "-o",
		"jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.waiting.reason}")
	for _, args := range [][]string{{"crasher"}, {"crasher", "--previous"}} {
		if got := logs(args...); got != "run 3\n" {
			t.Errorf("kubectl logs %v in CrashLoopBackOff: %q", args, got)
		}
	}
}
