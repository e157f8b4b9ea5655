package apiserver

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kubectl runs the stock client in a namespace and returns what it printed on both streams.
func (c *testCluster) kubectl(t *testing.T, kubeconfig, namespace, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", append([]string{"--kubeconfig", kubeconfig, "-n", namespace}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "KUBECTL_EXTERNAL_DIFF=diff -u")
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

const oldDeployment = `
apiVersion: apps/v1beta1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "demo:0.1", ports: [{containerPort: 80}]}]}
`

// TestStockKubectl types what users type; each line builds on those before it.
func TestStockKubectl(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the stock kubectl")
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Fatal("the stock kubectl is needed on the PATH (make test-tools): ", err)
	}
	c := sharedCluster(t)
	ns, config := c.namespace(t), c.kubeconfig(t)
	crd := filepath.Join(t.TempDir(), "crd.yaml")
	if err := os.WriteFile(crd, []byte(strings.NewReplacer("crontabs", "tables", "CronTab", "Table", "crontab", "table", `["ct"]`, `["tbl"]`, "stable.", "kubectl.").Replace(crontabs)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		stdin string
		args  string
		want  []string // all of them are printed
		fails bool
	}{
		{"", "version", []string{"Server Version: v" + fallbackVersion}, false},
		{"", "api-resources --api-group=apps", []string{"deployments", "deploy", "apps/v1", "true", "Deployment"}, false},
		{"", "api-versions", []string{"apps/v1beta1", "extensions/v1beta1", "batch/v1beta1", "policy/v1beta1", "networking.k8s.io/v1beta1"}, false},
		{"", "explain deployment.spec.strategy", []string{"FIELD: strategy <DeploymentStrategy>", "rollingUpdate", "enum: Recreate, RollingUpdate"}, false},
		{"", "explain deployment --api-version=apps/v1beta1", []string{"VERSION:    v1beta1", "DEPRECATED"}, false},
		{"", "explain pod.spec.containers --recursive", []string{"livenessProbe", "containerPort"}, false},

		{oldDeployment, "apply -f -", []string{"deployment.apps/web created", "Warning: apps/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment"}, false},
		{"", "get deploy web", []string{"NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "web", "0/2"}, false},
		{oldDeployment, "diff -f -", nil, false},
		{strings.ReplaceAll(oldDeployment, "0.1", "0.2"), "diff -f -", []string{`-      - image: demo:0.1`, `+      - image: demo:0.2`}, true},
		{strings.ReplaceAll(oldDeployment, "0.1", "0.2"), "apply -f - --record", []string{"deployment.apps/web configured"}, false},
		{"", "get deploy web -o jsonpath={.metadata.annotations.kubernetes\\.io/change-cause}", []string{"kubectl apply"}, false},
		{"", "get deploy web -o jsonpath={.spec.template.spec.containers[0].image}/{.spec.selector.matchLabels.app}", []string{"demo:0.2/web"}, false},
		{"", "scale deploy web --replicas=5", []string{"deployment.apps/web scaled"}, false},
		{"", "set image deploy/web c=demo:0.3", []string{"deployment.apps/web image updated"}, false},
		{"", "rollout pause deploy web", []string{"deployment.apps/web paused"}, false},
		{"", "rollout resume deploy web", []string{"deployment.apps/web resumed"}, false},
		{"", "autoscale deploy web --max=3 --cpu-percent=50", []string{"horizontalpodautoscaler.autoscaling/web autoscaled"}, false},
		{"", "expose deploy web --port=80 --type=NodePort", []string{"service/web exposed"}, false},
		{"", "get svc web", []string{"NodePort", "10.244.", "80:3", "/TCP"}, false},
		{"", "label deploy web a=b", []string{"deployment.apps/web labeled"}, false},
		{"", "annotate deploy web a=b", []string{"deployment.apps/web annotated"}, false},
		{"", "patch deploy web --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":1}]", []string{"deployment.apps/web patched"}, false},
		{"", "describe deploy web", []string{"Replicas:", "1 desired", "Image:", "demo:0.3"}, false},
		{strings.ReplaceAll(oldDeployment, "apps/v1beta1", "extensions/v1beta1"), "apply --server-side --force-conflicts -f -", []string{"serverside-applied", "extensions/v1beta1 Deployment is deprecated"}, false},
		{strings.Replace(oldDeployment, "replicas", "replicaz", 1), "apply -f -", []string{`unknown field "spec.replicaz"`}, true},
		{strings.Replace(oldDeployment, "replicas", "replicaz", 1), "apply --validate=warn -f -", []string{`Warning: unknown field "spec.replicaz"`, "deployment.apps/web configured"}, false},
		{oldDeployment, "replace -f -", []string{"deployment.apps/web replaced"}, false},
		{"", "create deployment dry --image=x --dry-run=server", []string{"deployment.apps/dry created (server dry run)"}, false},
		{"", "get deploy dry", []string{`deployments.apps "dry" not found`}, true},
		{"", "get all", []string{"service/web", "deployment.apps/web", "horizontalpodautoscaler.autoscaling/web"}, false},
		{"", "delete deploy/web svc/web hpa/web", []string{`deployment.apps "web" deleted`, `service "web" deleted`}, false},

		{"", "create configmap pruned --from-literal=a=b", []string{"configmap/pruned created"}, false},
		{"", "create secret generic s --from-literal=a=b", []string{"secret/s created"}, false},
		{"", "create token default --duration=10m", []string{"eyJ"}, false},
		{"", "auth can-i create pods", []string{"yes"}, false},
		{"", "auth can-i create pods --as=jane", []string{"no"}, true},
		{"", "auth can-i --list --as=jane", []string{"selfsubjectaccessreviews.authorization.k8s.io", "[/healthz]"}, false},
		{"", "auth whoami", []string{"kubernetes-admin", "system:masters"}, false},
		{"", "get pods --as=jane", []string{`pods is forbidden: User "jane" cannot list resource "pods"`}, true},
		{"", "get --raw /readyz?verbose", []string{"[+]ping ok", "readyz check passed"}, false},
		{"", "get componentstatuses", []string{"controller-manager", "scheduler", "etcd-0", "Healthy", "ok"}, false},
		{"", "get --raw /api/v1/namespaces/default", []string{`"name":"default"`}, false},

		{"", "apply -f " + crd, []string{"customresourcedefinition.apiextensions.k8s.io/tables.kubectl.example.com created"}, false},
		{"", "wait --for=condition=established crd/tables.kubectl.example.com --timeout=10s", []string{"condition met"}, false},
		{"apiVersion: kubectl.example.com/v1\nkind: Table\nmetadata: {name: t}\nspec: {cronSpec: '* * * * 5'}\n", "apply -f -", []string{"table.kubectl.example.com/t created"}, false},
		{"", "get tbl", []string{"NAME", "SPEC", "* * * * 5"}, false},
		{"", "scale tbl t --replicas=3", []string{"table.kubectl.example.com/t scaled"}, false},
		{"", "patch tbl t --type=merge -p {\"spec\":{\"replicas\":30}}", []string{"too many replicas"}, true},
		{"", "explain table.spec", []string{"cronSpec", "replicas"}, false},
		{"", "delete crd tables.kubectl.example.com", []string{"deleted"}, false},
	} {
		out, err := c.kubectl(t, config, ns, step.stdin, strings.Split(step.args, " ")...)
		if (err != nil) != step.fails {
			t.Errorf("kubectl %s: %v\n%s", step.args, err, out)
		}
		for _, want := range step.want {
			if !strings.Contains(out, want) {
				t.Errorf("kubectl %s does not print %q:\n%s", step.args, want, out)
			}
		}
		if step.args == "diff -f -" && !step.fails && strings.Contains(out, "\n+") {
			t.Errorf("kubectl %s shows a difference:\n%s", step.args, out)
		}
	}
}
