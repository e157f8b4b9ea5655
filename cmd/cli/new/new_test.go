package new

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff.local/skiff/cmd/cli/env"
	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/cmd/cli/iostreams"
)

// create runs `skiff new` in a directory; answers are typed on a terminal unless they are nil.
func create(t *testing.T, dir string, answers *string, args ...string) (string, exit.Code) {
	t.Helper()
	io, in, _, errOut := iostreams.Test()
	if answers != nil {
		io.SetTTY(true, false, false)
		in.WriteString(*answers)
	}
	c := NewCmd(&env.Env{IO: io, ProfileName: "skiff"})
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(append(args, "--dir", dir))
	err := c.ExecuteContext(t.Context())
	code, message, _ := exit.Of(err)
	return errOut.String() + message, code
}

func TestNewAsksOnATerminalAndNeverOverwritesUnasked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.yaml")
	read := func() string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}

	answers := "app:dev\nninety\n9090\n\n3\n"
	if said, code := create(t, dir, &answers, "web", "shop"); code != exit.OK || !strings.Contains(said, "not a number from 1 to 65535") {
		t.Fatalf("new: %d %s", code, said)
	}
	if got := read(); !strings.Contains(got, "image: app:dev") || !strings.Contains(got, "containerPort: 9090") || !strings.Contains(got, "replicas: 3") {
		t.Errorf("what was answered is not written:\n%s", got)
	}

	if said, code := create(t, dir, nil, "web", "shop"); code == exit.OK || !strings.Contains(said, "exists") {
		t.Errorf("without a terminal: %d %s", code, said)
	}
	no := "n\n"
	if said, code := create(t, dir, &no, "web", "shop", "--image=x:1", "--port=1", "--path=/", "--replicas=1"); code == exit.OK || !strings.Contains(said, "left as it was") {
		t.Errorf("answered no: %d %s", code, said)
	}
	if !strings.Contains(read(), "app:dev") {
		t.Error("the file was overwritten without consent")
	}
	yes := "y\n"
	if said, code := create(t, dir, &yes, "web", "shop", "--image=x:1", "--port=1", "--path=/", "--replicas=1"); code != exit.OK {
		t.Errorf("answered yes: %d %s", code, said)
	}
	if !strings.Contains(read(), "image: x:1") {
		t.Error("the file was not overwritten with consent")
	}
	if _, code := create(t, dir, nil, "redis", "shop", "--force"); code != exit.OK || !strings.Contains(read(), "redis-server") {
		t.Error("--force does not overwrite")
	}
}

func TestNewRefusesBadValues(t *testing.T) {
	dir := t.TempDir()
	if said, code := create(t, dir, nil, "cron", "night", "--schedule", "tomorrow"); code != exit.Usage || !strings.Contains(said, "schedule") {
		t.Errorf("a bad schedule: %d %s", code, said)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("files are left: %v", entries)
	}
}
