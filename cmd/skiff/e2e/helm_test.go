package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// helmCLI builds helm as it was released, with the dependencies of its own go.mod, at the version that this module has as a
// library. It is kept in .cache, so that only the first run pays for it.
func helmCLI(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "helm.sh/helm/v3").Output()
	if err != nil {
		t.Fatalf("find helm's version in go.mod: %v", err)
	}
	version := strings.TrimSpace(string(out))
	dir, err := filepath.Abs("../../../.cache/helm-" + version)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "helm")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	build := exec.Command("go", "install", "-ldflags=-s -w", "helm.sh/helm/v3/cmd/helm@"+version)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build helm %s: %v: %s", version, err, out)
	}
	return binary
}

func TestHelmManagesARelease(t *testing.T) {
	ensureStarted(t)
	binary := helmCLI(t)
	namespace(t, "helm")
	t.Cleanup(func() {
		c := exec.Command(shared.kubectl, "delete", "crd", "boats.fleet.skiff.local", "--ignore-not-found", "--wait=false")
		c.Env = shared.env
		_ = c.Run()
	})
	helm := func(args ...string) string {
		t.Helper()
		r := try(t, binary, args...)
		if r.code != 0 {
			t.Fatalf("%s", r)
		}
		return r.out
	}
	release := func(verb string, more ...string) []string {
		return append([]string{verb, "demo", "testdata/chart", "--set=image=" + shared.image, "--wait", "--wait-for-jobs", "--timeout=3m"}, more...)
	}
	holds := func(what, have, want string) {
		t.Helper()
		if !strings.Contains(have, want) {
			t.Errorf("%s: no %q in\n%s", what, want, have)
		}
	}
	password := func() string {
		t.Helper()
		return jsonpath(t, "{.data.password}", "secret", "demo-password")
	}

	holds("install", helm(release("install")...), "STATUS: deployed")
	holds("the hook before the installation", kubectl(t, "logs", "job/demo-pre-install"), "pre-install of revision 1")
	holds("the Job", kubectl(t, "logs", "job/demo-load-1"), "loaded 2 oars")
	holds("the Deployment after --wait", jsonpath(t, "{.status.readyReplicas}", "deployment", "demo-web"), "2")
	holds("the custom object, with its default", jsonpath(t, "{.spec.oars} {.spec.colour}", "boat", "demo"), "2 white")
	url := nodePortURL(t, "demo-web")
	eventuallyServes(t, url, "version 0.1")
	first := password()
	if r := try(t, binary, release("install")...); r.code == 0 || !strings.Contains(r.errOut, "cannot re-use a name") {
		t.Errorf("a second installation under the name: %s", r)
	}

	holds("upgrade", helm(release("upgrade", "--set=tag=0.2,oars=4")...), "REVISION: 2")
	holds("the hook after the upgrade", kubectl(t, "logs", "job/demo-post-upgrade"), "post-upgrade of revision 2")
	holds("the custom object after the upgrade", jsonpath(t, "{.spec.oars}", "boat", "demo"), "4")
	eventuallyServes(t, url, "version 0.2")
	if r := try(t, shared.kubectl, "get", "job", "demo-load-1"); r.code == 0 {
		t.Errorf("a Job that the new revision doesn't have is still there: %s", r)
	}
	if password() != first {
		t.Error("the template's lookup did not find the password of the first revision")
	}
	helm("test", "demo", "--timeout=2m")
	holds("the test's pod", kubectl(t, "logs", "demo-test"), "version 0.2")

	if r := try(t, binary, release("upgrade", "--set=tag=0.2,oars=4,migration=exit 3")...); r.code == 0 || !strings.Contains(r.errOut, "post-upgrade hooks failed") {
		t.Errorf("an upgrade whose hook fails: %s", r)
	}
	if r := try(t, binary, release("upgrade", "--set=tag=0.2,oars=400")...); r.code == 0 || !strings.Contains(r.errOut, "should be less than or equal to 8") {
		t.Errorf("an upgrade that the CRD's schema refuses: %s", r)
	}
	holds("history", helm("history", "demo"), "failed")

	holds("rollback", helm("rollback", "demo", "1", "--wait", "--wait-for-jobs", "--timeout=3m"), "Rollback was a success")
	eventuallyServes(t, url, "version 0.1")
	holds("the custom object after the rollback", jsonpath(t, "{.spec.oars}", "boat", "demo"), "2")
	holds("status", helm("status", "demo"), "STATUS: deployed")

	holds("uninstall", helm("uninstall", "demo", "--wait", "--timeout=3m"), `release "demo" uninstalled`)
	// The CRD stays, so that no data is lost, and what hooks made is not the release's.
	kubectl(t, "get", "crd", "boats.fleet.skiff.local")
	eventually(t, slow, func() string {
		left := kubectl(t, "get", "deployments,pods,services,endpointslices,boats,secrets", "-o", "name")
		for _, name := range []string{"demo-web", "boats.fleet", "demo-password", "sh.helm.release"} {
			if strings.Contains(left, name) {
				return "after the removal there is still " + left
			}
		}
		return ""
	})
}
