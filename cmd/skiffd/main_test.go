package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/local/client"
)

func TestASkiffOfAnotherReleaseIsRefusedWhateverItsFlags(t *testing.T) {
	own := version
	version = "1.2.0"
	t.Cleanup(func() { version = own })
	for name, c := range map[string]struct {
		args   []string
		reason client.Reason
		code   exit.Code
	}{
		"the same release":              {[]string{"--client-version", "1.2.0", "--profile", "x"}, "", exit.OK},
		"a build without a stamp":       {[]string{"--client-version", client.Unstamped, "--profile", "x"}, "", exit.OK},
		"a service, which says none":    {[]string{"--profile", "x"}, "", exit.OK},
		"another release":               {[]string{"--client-version", "1.3.0", "--profile", "x"}, client.ReasonProgram, exit.Program},
		"another release's new flag":    {[]string{"--client-version", "1.3.0", "--unheard-of"}, client.ReasonProgram, exit.Program},
		"an unknown flag of a person":   {[]string{"--unheard-of"}, "", exit.Usage},
		"an argument that says nothing": {[]string{"start"}, "", exit.Usage},
	} {
		_, _, err := parse(c.args, io.Discard)
		code, message, hint := exit.Of(err)
		var reason client.Reason
		if f := client.AsFailure(err); f != nil {
			reason = f.Reason
		}
		if code != c.code || reason != c.reason {
			t.Errorf("%s: code %d, reason %q: %v", name, code, reason, err)
		}
		if err != nil && (message == "" || hint == "") {
			t.Errorf("%s: message %q, hint %q", name, message, hint)
		}
	}
	if _, _, err := parse([]string{"--version"}, io.Discard); !errors.Is(err, errVersion) {
		t.Errorf("--version: %v", err)
	}
}

func TestTheLogIsCutWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log := newLogFile(file, path)
	log.limit = 100
	line := strings.Repeat("x", 39) + "\n"
	for range 5 {
		if _, err := log.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	// What goes past the log, as a panic does, comes after what was logged and is not lost.
	if _, err := file.WriteString("panic\n"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: line + "panic\n", path + ".1": line + line} {
		if raw, err := os.ReadFile(name); err != nil || string(raw) != want {
			t.Errorf("%s = %q, %v; want %q", filepath.Base(name), raw, err, want)
		}
	}
}

func TestALogThatIsNotOursIsNeverCut(t *testing.T) {
	dir := t.TempDir()
	file, err := os.OpenFile(filepath.Join(dir, "other"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log := newLogFile(file, filepath.Join(dir, "daemon.log"))
	log.limit = 1
	_, _ = log.Write([]byte("one\n"))
	_, _ = log.Write([]byte("two\n"))
	if raw, _ := os.ReadFile(file.Name()); string(raw) != "one\ntwo\n" {
		t.Errorf("log = %q", raw)
	}
}
