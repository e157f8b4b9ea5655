package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each trouble gives one clear message with the next step and its exit code, and leaves nothing behind.
func TestTroubleIsSaidClearly(t *testing.T) {
	needsEngine(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	file := filepath.Join(t.TempDir(), "a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		args []string
		env  []string
		code int
		says []string
	}{
		"no engine":                           {[]string{"start"}, []string{"DOCKER_HOST=unix:///nowhere/docker.sock"}, 3, []string{"/nowhere/docker.sock"}},
		"a taken port":                        {[]string{"start", "--api-port", port}, nil, 7, []string{port}},
		"an unusable home":                    {[]string{"start"}, []string{"SKIFF_HOME=" + filepath.Join(file, "home")}, 6, []string{"SKIFF_HOME"}},
		"no daemon's program":                 {[]string{"start"}, []string{"SKIFFD=/nowhere/skiffd"}, 13, []string{"/nowhere/skiffd", "SKIFFD"}},
		"a daemon of another release":         {[]string{"start"}, []string{"SKIFFD=" + anotherRelease(t)}, 13, []string{"0.0.1", "not of one release"}},
		"a number of nodes that is none":      {[]string{"start", "--nodes", "-3"}, nil, 2, []string{"--nodes -3", "use 1 to"}},
		"a bad profile name":                  {[]string{"start", "-p", "Not_A_Name"}, nil, 2, []string{"Not_A_Name"}},
		"a verb that is no verb":              {[]string{"strat"}, nil, 2, []string{`no verb "strat"`, "skiff start"}},
		"a service without a service manager": {[]string{"daemon", "install"}, []string{"PATH=/nowhere"}, 1, []string{"does not answer", "skiff works without"}},
		"an unknown flag":                     {[]string{"start", "--frobnicate"}, nil, 2, []string{"--frobnicate", "skiff start --help"}},
		"an unknown flag of a mounted verb":   {[]string{"get", "--frobnicate"}, nil, 2, []string{"--frobnicate"}},
	} {
		t.Run(name, func(t *testing.T) {
			home := filepath.Join(t.TempDir(), "home")
			env := append([]string{"SKIFF_HOME=" + home, "SKIFF_PROFILE=t-e2e-trouble"}, test.env...)
			r := tryIn(t, "", env, shared.bin, test.args...)
			if r.code != test.code {
				t.Errorf("want exit code %d: %s", test.code, r)
			}
			for _, want := range test.says {
				if !strings.Contains(r.errOut, want) {
					t.Errorf("the message lacks %q: %s", want, r)
				}
			}
			if strings.Count(r.errOut, "error:") > 1 {
				t.Errorf("more than one message: %s", r)
			}
			left, _ := exec.Command("docker", "ps", "-aq", "--filter", "label=skiff.local/profile=t-e2e-trouble").Output()
			if len(left) > 0 {
				t.Errorf("containers are left: %s", left)
			}
			if kubeconfig, err := os.ReadFile(filepath.Join(shared.dir, "kubeconfig")); err == nil && strings.Contains(string(kubeconfig), "t-e2e-trouble") {
				t.Error("a context is left in the kubeconfig")
			}
			// A trouble that comes after the folder was made leaves a stopped cluster, which delete removes.
			_ = tryIn(t, "", env, shared.bin, "delete", "--yes")
		})
	}
}

// anotherRelease is the real skiffd, told that a skiff of another release starts it.
func anotherRelease(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "skiffd")
	script := fmt.Sprintf("#!/bin/sh\nshift 2\nexec '%s' --client-version 0.0.1 \"$@\"\n", filepath.Join(filepath.Dir(shared.bin), "skiffd"))
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnImageThatIsNowhereIsExplained(t *testing.T) {
	ensureStarted(t)
	namespace(t, "noimage")
	kubectl(t, "run", "lost", "--image=skiff-e2e-nowhere.invalid/lost:1")
	eventuallyPrints(t, "ImagePull", "get", "pods")
	if out := kubectl(t, "describe", "pod", "lost"); !strings.Contains(out, "skiff-e2e-nowhere.invalid/lost:1") {
		t.Errorf("describe: %s", out)
	}
	kubectl(t, "run", "never", "--image="+shared.image+":none", "--image-pull-policy=Never")
	eventuallyPrints(t, "ErrImageNeverPull", "get", "pods")
}

func TestAFlagThatComesTooLateIsSaidToHaveNoEffect(t *testing.T) {
	ensureStarted(t)
	r := try(t, shared.bin, "start", "--nodes", "7")
	if r.code != 0 || !strings.Contains(r.errOut, "--nodes 7 has no effect") {
		t.Errorf("%s", r)
	}
	if out := skiff(t, "get", "nodes", "-o", "name"); strings.Count(out, "node/") == 7 {
		t.Errorf("it had one: %s", out)
	}
}

func TestASecondDaemonIsRefused(t *testing.T) {
	ensureStarted(t)
	r := try(t, shared.bin, "daemon", "run")
	if r.code != 12 {
		t.Errorf("want exit code 12: %s", r)
	}
	if !readStatus(t).Running {
		t.Error("the first daemon is gone")
	}
}
