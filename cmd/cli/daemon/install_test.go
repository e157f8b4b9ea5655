package daemon

import (
	"strings"
	"testing"

	"skiff.local/skiff/local/profile"
)

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
	list := launchd(p, "/opt/my tools/skiffd", "/Users/me")
	if !strings.Contains(list.content, "<string>/home/me &amp; you/&#34;x&#34;/100%</string>") || !strings.HasSuffix(list.path, "/LaunchAgents/local.skiff.blue.plist") {
		t.Errorf("property list %s:\n%s", list.path, list.content)
	}
}
