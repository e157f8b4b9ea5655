package e2e

import (
	"strings"
	"testing"
)

func TestStandardInputAndExitCodes(t *testing.T) {
	ensureStarted(t)
	namespace(t, "stdin")
	kubectl(t, "run", "web", "--image="+shared.image+":0.1")
	kubectl(t, "wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	// The end of the input arrives, the output after it too.
	megabyte := strings.Repeat("0123456789abcdef", 1<<16)
	if r := tryIn(t, megabyte, nil, shared.kubectl, "exec", "-i", "web", "--", "sh", "-c", "wc -c; echo done >&2; exit 5"); strings.TrimSpace(r.out) != "1048576" || r.code != 5 || !strings.HasPrefix(r.errOut, "done\n") {
		t.Errorf("%s", r)
	}
	if r := tryIn(t, megabyte, nil, shared.kubectl, "exec", "-i", "web", "--", "cat"); r.out != megabyte || r.code != 0 {
		t.Errorf("of %d bytes %d came back (exit code %d)", len(megabyte), len(r.out), r.code)
	}
	missing := 127 // as a shell would say; engines before 28 say 126
	if try(t, shared.kubectl, "exec", "web", "--", "/no/such/program").code == 126 {
		missing = 126
	}
	// A pipe into a pod that is made for it: its container's input ends with the pipe, the pod with the command.
	piped := []string{"run", "piped", "-i", "--rm", "--restart=Never", "--image=" + shared.image + ":0.1", "--command", "--", "sh", "-c", "wc -c; exit 6"}
	if r := tryIn(t, megabyte, nil, shared.kubectl, piped...); !strings.HasPrefix(r.out, "1048576\n") || r.code != 6 {
		t.Errorf("%s", r)
	}
	for _, test := range []struct {
		command string
		code    int
		says    string
	}{
		{"exec web -- sh -c exit${IFS}255", 255, "exit code 255"},
		{"exec web -- sh -c kill${IFS}-9${IFS}$$", 137, "exit code 137"},
		{"exec web -- /no/such/program", missing, "/no/such/program"},
		{"exec web -c nobody -- true", 1, "container nobody is not valid"},
		{"exec nobody -- true", 1, `pods "nobody" not found`},
	} {
		if r := try(t, shared.kubectl, strings.Fields(test.command)...); r.code != test.code || !strings.Contains(r.errOut+r.out, test.says) {
			t.Errorf("want exit code %d and %q: %s", test.code, test.says, r)
		}
	}
}
