package env

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"skiff.local/skiff/local/profile"
)

func TestWhichDaemonIsOlder(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "skiff")
	if err := os.WriteFile(binary, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	made := time.Now()
	for name, test := range map[string]struct {
		daemon  string
		started time.Time
		own     string
		want    bool
	}{
		"the same version":                       {"1.2.0", made.Add(-time.Hour), "1.2.0", false},
		"an older release":                       {"1.2.0", made.Add(time.Hour), "1.10.0", true},
		"a newer release":                        {"1.10.0", made.Add(-time.Hour), "1.2.0", false},
		"a pre-release":                          {"1.2.0-rc.1", made, "1.2.0", true},
		"another build, started before this one": {"abc", made.Add(-time.Hour), "def", true},
		"another build, started after this one":  {"abc", made.Add(time.Hour), "def", false},
		"a daemon that doesn't say":              {"", made.Add(-time.Hour), "1.2.0", false},
	} {
		got := older(profile.Daemon{Version: test.daemon, Started: test.started}, test.own, func() (string, error) { return binary, nil })
		if got != test.want {
			t.Errorf("%s: older = %v", name, got)
		}
	}
}
