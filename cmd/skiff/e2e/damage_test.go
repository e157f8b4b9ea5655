package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A store that can't be trusted is not used: start says which file is damaged and which command puts the last good copy back.
func TestADamagedStoreIsNamedAndPutBack(t *testing.T) {
	ensureStarted(t)
	namespace(t, "damage")
	kubectl(t, "create", "configmap", "kept")
	skiff(t, "stop", "--keep-pods")
	path := filepath.Join(shared.dir, "home", shared.profile, "state.db")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0x10
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	r := try(t, shared.bin, "start")
	if r.code != 6 || !strings.Contains(r.errOut, path+" is damaged at byte ") || !strings.Contains(r.errOut, "skiff start --restore") {
		t.Fatalf("a start on a damaged store: %s", r)
	}
	if readStatus(t).Running {
		t.Error("a daemon runs on a damaged store")
	}
	skiff(t, "start", "--quiet", "--restore")
	kubectl(t, "get", "configmap", "kept")
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Errorf("the damaged file is not kept: %v", err)
	}
}
