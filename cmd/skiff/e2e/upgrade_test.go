package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A newer skiff meets the daemon of an older one, and then an older skiff the newer daemon.
func TestANewerSkiffReplacesTheDaemonAndTouchesNoPod(t *testing.T) {
	ensureStarted(t)
	newer, version := upgraded(t)
	namespace(t, "upgraded")
	kubectl(t, "create", "deployment", "stays", "--image="+shared.image+":0.1", "--replicas=2")
	kubectl(t, "rollout", "status", "deployment/stays", "--timeout=90s")
	untouched := func() string {
		return containers(t, "io.kubernetes.pod.namespace=upgraded") + containers(t, "skiff.local/role=relay")
	}
	settled, pid := untouched(), readStatus(t).Daemon.PID

	r := try(t, newer, "get", "pods", "-n", "upgraded", "-o", "name")
	if r.code != 0 || !strings.Contains(r.errOut, "replacing it by "+version) || strings.Count(r.out, "pod/stays") != 2 {
		t.Errorf("a verb of the newer skiff: %s", r)
	}
	if now := readStatus(t); now.Daemon.PID == pid || now.Versions.Skiff != version {
		t.Errorf("the daemon is pid %d of %s, was pid %d", now.Daemon.PID, now.Versions.Skiff, pid)
	}
	kubectl(t, "rollout", "status", "deployment/stays", "--timeout=30s")
	if now := untouched(); now != settled {
		t.Errorf("containers changed:\nbefore\n%safter\n%s", settled, now)
	}
	if r := try(t, newer, "get", "namespaces"); strings.Contains(r.errOut, "replacing") {
		t.Errorf("it was replaced twice: %s", r)
	}

	pid = readStatus(t).Daemon.PID
	if r := try(t, shared.bin, "version"); r.code != 0 || !strings.Contains(r.errOut, "the daemon is "+version) {
		t.Errorf("version warns of no skew: %s", r)
	}
	skiff(t, "get", "pods", "-n", "upgraded")
	if now := readStatus(t).Daemon.PID; now != pid {
		t.Error("an older skiff replaced the newer daemon")
	}
	skiff(t, "stop", "--keep-pods")
	skiff(t, "start")
}

// upgraded is the pair of programs with another version stamped in, newer in name and in its files' dates.
func upgraded(t *testing.T) (bin, version string) {
	t.Helper()
	own := strings.Fields(skiff(t, "version", "--client"))[1]
	if len(own) < 4 || own == "0.1.0-dev" {
		t.Skipf("skiff has no version of its own but %q: `make build` stamps one", own)
	}
	// The same length, so that the programs stay what they are; 9 is newer than any release's first digit.
	version = "9" + own[1:]
	if version == own {
		version = "8" + own[1:]
	}
	dir := t.TempDir()
	for _, name := range []string{"skiff", "skiffd"} {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(shared.bin), name))
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.ReplaceAll(raw, []byte(own), []byte(version))
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "skiff"), version
}
