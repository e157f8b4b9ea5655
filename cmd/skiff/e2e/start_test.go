package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ensureStarted starts the cluster for whichever test comes first.
func ensureStarted(t *testing.T) {
	t.Helper()
	needsEngine(t)
	skiff(t, "start", "--quiet")
}

// restart replaces the daemon and leaves the pods alone. It may be called when the test has ended.
func restart(t *testing.T, env []string, flags ...string) {
	t.Helper()
	for _, args := range [][]string{{"stop", "--keep-pods"}, append([]string{"start", "--quiet"}, flags...)} {
		c := exec.Command(shared.bin, args...)
		c.Env = append(append([]string{}, shared.env...), env...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("skiff %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
}

func TestStartMakesAContextThatStockKubectlUses(t *testing.T) {
	needsEngine(t)
	r := try(t, shared.bin, "start")
	if r.code != 0 {
		t.Fatalf("%s", r)
	}
	t.Logf("%s", r)
	s := readStatus(t)
	if !s.Running || !s.API.Ready || !s.Network.DNS || s.Daemon.PID == 0 {
		t.Errorf("status after start: %+v", s)
	}
	eventually(t, slow, func() string {
		if s := readStatus(t); len(s.Problems) != 0 {
			return fmt.Sprintf("%+v", s.Problems)
		}
		return ""
	})
	if want := "skiff-" + shared.profile; s.Context != want {
		t.Errorf("context is %q, want %q", s.Context, want)
	}
	if got := strings.TrimSpace(kubectl(t, "config", "current-context")); got != s.Context {
		t.Errorf("the current context is %q, want %q", got, s.Context)
	}
	if info, err := os.Stat(filepath.Join(shared.dir, "kubeconfig")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, %v; want mode 0600", info, err)
	}
	if version := kubectl(t, "version", "-o", "json"); !strings.Contains(version, `"gitVersion": "v1.36`) {
		t.Errorf("kubectl version: %s", version)
	}
	if nodes := kubectl(t, "get", "nodes"); !strings.Contains(nodes, " Ready ") || !strings.Contains(nodes, shared.profile) {
		t.Errorf("kubectl get nodes: %s", nodes)
	}

	again := try(t, shared.bin, "start")
	if again.code != 0 || !strings.Contains(again.out, "skiff runs since") {
		t.Errorf("a second start: %s", again)
	}
	if s2 := readStatus(t); s2.Daemon.PID != s.Daemon.PID {
		t.Errorf("the second start replaced daemon %d by %d", s.Daemon.PID, s2.Daemon.PID)
	}
}

func TestMountedVerbsDoWhatKubectlDoes(t *testing.T) {
	ensureStarted(t)
	namespace(t, "verbs")
	if out := skiff(t, "create", "configmap", "mine", "--from-literal=a=b", "-n", "verbs"); !strings.Contains(out, "configmap/mine created") {
		t.Errorf("create: %q", out)
	}
	// Every flag that people write before the verb.
	if out := skiff(t, "-n", "verbs", "get", "configmap", "mine", "-o", "jsonpath={.data.a}"); out != "b" {
		t.Errorf("get: %q", out)
	}
	for _, args := range [][]string{
		{"label", "configmap", "mine", "tier=x", "-n", "verbs"},
		{"annotate", "configmap", "mine", "note=y", "-n", "verbs"},
		{"patch", "configmap", "mine", "-n", "verbs", "-p", `{"data":{"a":"c"}}`},
		{"describe", "configmap", "mine", "-n", "verbs"},
		{"explain", "pod.spec.containers"},
		{"api-resources"},
		{"api-versions"},
		{"auth", "can-i", "create", "pods"},
		{"cluster-info"},
		{"kubectl", "--", "get", "configmap", "mine", "-n", "verbs"},
		{"delete", "configmap", "mine", "-n", "verbs"},
	} {
		skiff(t, args...)
	}
	if r := try(t, shared.bin, "get", "configmap", "mine", "-n", "verbs"); r.code != 1 || !strings.Contains(r.errOut, `configmaps "mine" not found`) {
		t.Errorf("a missing object: %s", r)
	}
	if r := try(t, shared.bin, "__complete", "get", "configmap", "-n", "verbs", "kube-"); !strings.Contains(r.out, "kube-root-ca.crt") {
		t.Errorf("completion of live objects: %s", r)
	}
}

func TestStockKubectlSeesTheAPIItKnows(t *testing.T) {
	ensureStarted(t)
	namespace(t, "api")
	crd := file(t, "crd.yaml", `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.e2e.skiff.local}
spec:
  group: e2e.skiff.local
  scope: Namespaced
  names: {kind: Boat, plural: boats, singular: boat}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {oars: {type: integer, maximum: 8}}
`)
	kubectl(t, "apply", "-f", crd)
	kubectl(t, "wait", "--for=condition=Established", "crd/boats.e2e.skiff.local", "--timeout=30s")
	boat := file(t, "boat.yaml", "apiVersion: e2e.skiff.local/v1\nkind: Boat\nmetadata: {name: dory}\nspec: {oars: 2}\n")
	kubectl(t, "apply", "-f", boat)
	if got := jsonpath(t, "{.spec.oars}", "boat", "dory"); got != "2" {
		t.Errorf("oars = %q", got)
	}
	if r := tryIn(t, "apiVersion: e2e.skiff.local/v1\nkind: Boat\nmetadata: {name: galley}\nspec: {oars: 100}\n", nil, shared.kubectl, "apply", "-f", "-"); r.code == 0 {
		t.Errorf("an invalid custom object is accepted: %s", r)
	}
	if out := kubectl(t, "explain", "deployment.spec.strategy"); !strings.Contains(out, "rollingUpdate") {
		t.Errorf("explain: %s", out)
	}
	kubectl(t, "apply", "--server-side", "--field-manager=e2e", "-f", boat, "--force-conflicts")
	strict := tryIn(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndate: {a: b}\n", nil, shared.kubectl, "create", "--validate=strict", "-f", "-")
	if strict.code == 0 || !strings.Contains(strict.errOut, "unknown field") {
		t.Errorf("an unknown field is accepted: %s", strict)
	}
	kubectl(t, "delete", "-f", crd, "--wait=false")
}
