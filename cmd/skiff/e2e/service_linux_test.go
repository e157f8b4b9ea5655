package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// systemctl does with a unit what systemd --user would, which needs a login session: it starts what the unit says, in the
// unit's environment, and ends it.
const systemctl = `#!/bin/sh
echo "$*" >>"$XDG_CONFIG_HOME/calls"
unit=$XDG_CONFIG_HOME/systemd/user/${4:-none}
of() { sed -n "s/^$1=//p" "$unit"; }
case "$2" in
enable)
  log=$(of StandardError); log=${log#append:}
  eval "env $(of Environment) setsid $(of ExecStart) >/dev/null 2>>'$log' </dev/null &"
  echo $! >"$XDG_CONFIG_HOME/pid" ;;
disable) kill "$(cat "$XDG_CONFIG_HOME/pid")" ;;
esac
`

func TestADaemonBecomesAServiceAndTouchesNoPod(t *testing.T) {
	ensureStarted(t)
	namespace(t, "served")
	kubectl(t, "create", "deployment", "stays", "--image="+shared.image+":0.1")
	kubectl(t, "rollout", "status", "deployment/stays", "--timeout=90s")
	untouched := func() string {
		return containers(t, "io.kubernetes.pod.namespace=served") + containers(t, "skiff.local/role=relay")
	}
	settled, pid := untouched(), readStatus(t).Daemon.PID

	config := t.TempDir()
	if err := os.WriteFile(filepath.Join(config, "systemctl"), []byte(systemctl), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + config + ":" + os.Getenv("PATH"), "XDG_CONFIG_HOME=" + config}
	unit := filepath.Join(config, "systemd", "user", "skiff-"+shared.profile+".service")
	r := tryIn(t, "", env, shared.bin, "daemon", "install")
	t.Cleanup(func() { restart(t, nil) })
	if r.code != 0 || !strings.Contains(r.out, "systemd --user runs the daemon from now on ("+unit+")") {
		t.Fatalf("%s\n%s", r, daemonLog(20))
	}
	eventually(t, slow, func() string {
		if now := readStatus(t).Daemon.PID; now == pid || now == 0 {
			return "the service's daemon does not answer yet"
		}
		return ""
	})
	kubectl(t, "rollout", "status", "deployment/stays", "--timeout=30s")
	if now := untouched(); now != settled {
		t.Errorf("containers changed:\nbefore\n%safter\n%s", settled, now)
	}

	r = tryIn(t, "", env, shared.bin, "daemon", "uninstall")
	if _, err := os.Stat(unit); r.code != 0 || err == nil || !strings.Contains(r.out, "pods run on") {
		t.Errorf("uninstall (%v): %s", err, r)
	}
	eventually(t, slow, func() string {
		if readStatus(t).Running {
			return "the daemon outlives its service"
		}
		return ""
	})
	if now := untouched(); now != settled {
		t.Errorf("after uninstall containers changed:\nbefore\n%safter\n%s", settled, now)
	}
	if r := tryIn(t, "", env, shared.bin, "daemon", "uninstall"); r.code != 0 || !strings.Contains(r.errOut, "no service is installed") {
		t.Errorf("a second uninstall: %s", r)
	}
}
