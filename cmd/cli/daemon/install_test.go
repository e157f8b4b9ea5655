package daemon

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"skiff.local/skiff/local/profile"
)

// systemd's own check knows keys that don't exist, values that can't be, and programs that aren't there.
func TestSystemdTakesTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := filepath.Join(t.TempDir(), "100% mine")
	program := filepath.Join(dir, "skiffd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := profile.Open(dir, "blue")
	if err != nil {
		t.Fatal(err)
	}
	unit := systemd(p, program, dir)
	verify := func(content string) string {
		path := filepath.Join(dir, filepath.Base(unit.path))
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(analyze, "verify", path)
		c.Env = append(os.Environ(), "SYSTEMD_LOG_LEVEL=warning")
		out, _ := c.CombinedOutput()
		var ours []string
		for _, line := range strings.Split(string(out), "\n") {
			if strings.Contains(line, filepath.Base(path)) {
				ours = append(ours, line)
			}
		}
		return strings.Join(ours, "\n")
	}
	if got := verify(unit.content); got != "" {
		t.Errorf("systemd-analyze verify: %s\n%s", got, unit.content)
	}
	if got := verify(strings.Replace(unit.content, "KillMode=process", "KillMode=sometimes", 1)); got == "" {
		t.Error("systemd-analyze verify finds nothing at all")
	}
}

// plist is what a property list is made of.
type plist struct {
	XMLName xml.Name
	Text    string  `xml:",chardata"`
	Nodes   []plist `xml:",any"`
}

// value turns a node into what plutil would print.
func (p plist) value(t *testing.T) any {
	t.Helper()
	switch p.XMLName.Local {
	case "plist":
		return p.Nodes[0].value(t)
	case "string":
		return p.Text
	case "true", "false":
		return p.XMLName.Local == "true"
	case "array":
		list := []any{}
		for _, n := range p.Nodes {
			list = append(list, n.value(t))
		}
		return list
	case "dict":
		dict := map[string]any{}
		for i := 0; i+1 < len(p.Nodes); i += 2 {
			if p.Nodes[i].XMLName.Local != "key" {
				t.Fatalf("a dict has %s in the place of a key", p.Nodes[i].XMLName.Local)
			}
			dict[p.Nodes[i].Text] = p.Nodes[i+1].value(t)
		}
		if len(p.Nodes)%2 != 0 {
			t.Fatalf("a dict has a key without a value: %v", dict)
		}
		return dict
	}
	t.Fatalf("a property list has no <%s>", p.XMLName.Local)
	return nil
}

func TestLaunchdsPropertyListSaysWhatIsMeant(t *testing.T) {
	p, err := profile.Open(`/Users/me & you/"x"/100%`, "blue")
	if err != nil {
		t.Fatal(err)
	}
	var list plist
	if err := xml.Unmarshal([]byte(launchd(p, "/opt/my tools/skiffd", "/Users/me").content), &list); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"Label":                "local.skiff.blue",
		"ProgramArguments":     []any{"/opt/my tools/skiffd", "--profile", "blue"},
		"EnvironmentVariables": map[string]any{"SKIFF_HOME": `/Users/me & you/"x"/100%`},
		"RunAtLoad":            true,
		"KeepAlive":            map[string]any{"SuccessfulExit": false},
		"AbandonProcessGroup":  true,
		"StandardErrorPath":    `/Users/me & you/"x"/100%/blue/daemon.log`,
	}
	if diff := cmp.Diff(any(want), list.value(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestServiceFilesSurviveOddPaths(t *testing.T) {
	p, err := profile.Open(`/home/me & you/"x"/100%`, "blue")
	if err != nil {
		t.Fatal(err)
	}
	unit := systemd(p, "/opt/my tools/skiffd", "/home/me/.config")
	for _, want := range []string{`ExecStart="/opt/my tools/skiffd" --profile blue`, `Environment="SKIFF_HOME=/home/me & you/\"x\"/100%%"`, "KillMode=process"} {
		if !strings.Contains(unit.content, want) {
			t.Errorf("the unit lacks %s:\n%s", want, unit.content)
		}
	}
	if unit.path != "/home/me/.config/systemd/user/skiff-blue.service" {
		t.Errorf("unit path %s", unit.path)
	}
	if list := launchd(p, "/opt/my tools/skiffd", "/Users/me"); list.path != "/Users/me/Library/LaunchAgents/local.skiff.blue.plist" {
		t.Errorf("property list %s", list.path)
	}
}
