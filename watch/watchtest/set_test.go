package watchtest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/watch"
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/source"
)

func TestASetAppliesFollowsAndPrunes(t *testing.T) {
	b := newBench(t, map[string]string{"web.yaml": deployment("web", "a:1"), "conf/c.yaml": config("c", "1") + "---\n" + config("d", "1")}).run()
	b.action("Deployment/web", event.Created)
	b.action("ConfigMap/c", event.Created)

	b.forget()
	b.write("web.yaml", deployment("web", "a:2"))
	e := b.action("Deployment/web", event.Configured)
	if got := strings.Join(e.Fields, " "); got != "spec.template.spec.containers[main].image" {
		t.Errorf("changed fields are %q", got)
	}
	for _, e := range b.seen() {
		if e.Type == event.Object && e.Object.Kind == "ConfigMap" {
			t.Errorf("an unchanged object was touched: %s", e)
		}
	}

	b.forget()
	b.write("conf/c.yaml", config("d", "1"))
	b.action("ConfigMap/c", event.Pruned)
	b.remove("web.yaml")
	b.action("Deployment/web", event.Pruned)
	_, err := shared.client.AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the deployment is still there: %v", err)
	}

	b.forget()
	b.write("conf/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: d\n")
	b.await("the problem", func(e event.Event) bool { return e.Type == event.Problem && e.Position() == "k/conf/c.yaml:4:1" })
	time.Sleep(400 * time.Millisecond)
	if _, err := shared.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "d", metav1.GetOptions{}); err != nil {
		t.Errorf("a broken file took its object away: %v", err)
	}
	b.write("conf/c.yaml", config("d", "2"))
	b.await("the repair", func(e event.Event) bool { return e.Type == event.Solved && e.File == "k/conf/c.yaml" })
	b.action("ConfigMap/d", event.Configured)
}

func TestARestartContinues(t *testing.T) {
	b := newBench(t, map[string]string{"a.yaml": config("a", "1"), "b.yaml": config("b", "1"), "c.yaml": config("c", "1")}).run()
	b.stop()
	b.forget()
	b.write("a.yaml", config("a", "2"))
	b.remove("b.yaml")
	b.run()
	b.action("ConfigMap/a", event.Configured)
	b.action("ConfigMap/b", event.Pruned)
	for _, e := range b.seen() {
		if e.Type == event.Object && e.Object.Name == "c" {
			t.Errorf("the unchanged object was touched: %s", e)
		}
	}
}

func TestARestartWithABrokenFileKeepsItsObjects(t *testing.T) {
	b := newBench(t, map[string]string{"a.yaml": config("a", "1"), "b.yaml": config("b", "1")}).run()
	b.stop()
	b.forget()
	b.write("a.yaml", "broken: [")
	b.remove("b.yaml")
	b.run()
	b.action("ConfigMap/b", event.Pruned)
	time.Sleep(400 * time.Millisecond)
	if _, err := shared.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Errorf("the broken file's object is gone: %v", err)
	}
}

func TestTwoSetsLeaveEachOtherAlone(t *testing.T) {
	b := newBench(t, map[string]string{"one/a.yaml": config("a", "1"), "two/b.yaml": config("b", "1"), "two/a.yaml": config("a", "2")})
	second := &bench{t: t, dir: b.dir, namespace: b.namespace, stop: func() {}}
	b.change = func(c *watch.Config) { c.Definition.Sources = []source.Source{{Path: b.dir + "/one", Name: "one"}} }
	second.change = func(c *watch.Config) { c.Definition.Sources = []source.Source{{Path: b.dir + "/two", Name: "two"}} }
	b.run()
	second.run()
	t.Cleanup(second.stop)
	failed := second.action("ConfigMap/a", event.Failed)
	if !strings.Contains(failed.Message, "belongs to the set one-") || !strings.Contains(failed.Hint, "--take-over") {
		t.Errorf("the failure says %q (%s)", failed.Message, failed.Hint)
	}
	second.remove("two/b.yaml")
	second.action("ConfigMap/b", event.Pruned)
	if a, err := shared.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "a", metav1.GetOptions{}); err != nil || a.Data["x"] != "1" {
		t.Errorf("the other set's object was touched: %v %v", a.Data, err)
	}
}

func TestAMovedDirectoryGoesOn(t *testing.T) {
	b := newBench(t, map[string]string{"old/a.yaml": config("a", "1"), "old/b.yaml": config("b", "1")})
	b.change = func(c *watch.Config) { c.Definition.Sources = []source.Source{{Path: b.dir + "/old", Name: "old"}} }
	b.once()
	check(t, os.Rename(b.dir+"/old", b.dir+"/new"))
	b.change = func(c *watch.Config) { c.Definition.Sources = []source.Source{{Path: b.dir + "/new", Name: "new"}} }
	b.forget()
	b.once()
	if out := b.lines(); !strings.Contains(out, "took it over from the set old-") || strings.Contains(out, "failed") {
		t.Errorf("the moved set did not go on:\n%s", out)
	}
}

func TestWhatKubectlAppliedIsTakenOver(t *testing.T) {
	b := newBench(t, nil)
	manifest := deployment("web", "a:1")
	manifest = strings.Replace(manifest, "spec:\n  selector", "spec:\n  minReadySeconds: 5\n  selector", 1)
	b.kubectl("apply", "-f", "-", manifest)
	b.write("web.yaml", deployment("web", "a:1"))
	b.once()
	if out := b.lines(); !strings.Contains(out, "[took it over from kubectl]") {
		t.Errorf("nothing was said about the take-over:\n%s", out)
	}
	web, err := shared.client.AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	check(t, err)
	if web.Spec.MinReadySeconds != 0 {
		t.Error("a field that left the manifest stayed")
	}
}

func TestKindsAndTheirObjectsInOneGo(t *testing.T) {
	b := newBench(t, nil)
	b.write("all.yaml", strings.ReplaceAll(`apiVersion: GROUP/v1
kind: Widget
metadata: {name: w}
spec: {size: 3}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  names: {kind: Widget, plural: widgets, singular: widget}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: NS-extra}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: NS-extra}
spec: {containers: [{name: c, image: a}]}
`, "GROUP", "w"+b.namespace+".example.com"))
	t.Cleanup(func() {
		_ = shared.client.CoreV1().Namespaces().Delete(context.Background(), b.namespace+"-extra", metav1.DeleteOptions{})
	})
	b.run()
	b.action("Widget/w", event.Created)
	b.action("Pod/p", event.Created)
	b.forget()
	b.remove("all.yaml")
	b.action("Widget/w", event.Pruned)
	b.action("Pod/p", event.Pruned)
	b.action("Namespace/"+b.namespace+"-extra", event.Kept)
}

func TestAnUnknownKindWaitsForItsDefinition(t *testing.T) {
	b := newBench(t, nil)
	group := "g" + b.namespace + ".example.com"
	b.write("w.yaml", "apiVersion: "+group+"/v1\nkind: Gadget\nmetadata: {name: g}\n")
	b.run()
	failed := b.action("Gadget/g", event.Failed)
	if !failed.Retry {
		t.Error("it is not tried again")
	}
	crd := strings.ReplaceAll(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.GROUP}
spec:
  group: GROUP
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, "GROUP", group)
	b.kubectl("apply", "-f", "-", crd)
	b.action("Gadget/g", event.Created)
}

func TestMistakesAreExplained(t *testing.T) {
	b := newBench(t, map[string]string{
		"kind.yaml":    "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: a}\n",
		"version.yaml": "apiVersion: apps/v1\nkind: Ingress\nmetadata: {name: a}\n",
		"field.yaml":   strings.Replace(deployment("f", "a"), "        image:", "        imagee:", 1),
		"type.yaml":    strings.Replace(deployment("t", "a"), "spec:\n  selector", "spec:\n  replicas: two\n  selector", 1),
		"value.yaml":   strings.Replace(deployment("v", "a"), "spec:\n  selector", "spec:\n  replicas: -1\n  selector", 1),
		"deep.yaml":    deployment("d", "a") + "  replica: 2\n",
		"indent.yaml":  deployment("i", "a") + "      minReadySeconds: 2\n",
		"enum.yaml":    deployment("e", "a") + "        imagePullPolicy: always\n",
		"ns.yaml":      strings.Replace(config("far", "1"), "  name: far", "  name: far\n  namespace: nowhere-NS", 1),
		"fine.yaml":    config("fine", "1"),
	}).once()
	b.action("ConfigMap/fine", event.Created)
	out := b.lines()
	for _, want := range []string{
		"k/kind.yaml:2:7: the cluster knows no kind Deploymnet in apps/v1 (did you mean Deployment (apiVersion: apps/v1)?)",
		"k/version.yaml:2:7: the cluster knows no kind Ingress in apps/v1 (Ingress is served as apiVersion: networking.k8s.io/v1)",
		"k/value.yaml:6:13: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
		`k/field.yaml:13:9: spec.template.spec.containers[0] has no field "imagee" (did you mean image?)`,
		`k/type.yaml:6:13: spec.replicas must be a whole number, found the string "two"`,
		`k/deep.yaml:14:3: spec has no field "replica" (did you mean replicas?)`,
		`k/indent.yaml:14:7: spec.template.spec has no field "minReadySeconds" (minReadySeconds belongs to spec: is it indented too deep?)`,
		`k/enum.yaml:14:26: spec.template.spec.containers[0].imagePullPolicy can't be "always" (did you mean Always?)`,
		"there is no namespace nowhere-" + b.namespace,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nowhere: %s", want)
		}
	}
	t.Log("\n" + out)
}

func TestAJobIsRunAgainWhenItsTemplateChanges(t *testing.T) {
	job := func(image string) string {
		return fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: c, image: %q}]\n", image)
	}
	b := newBench(t, map[string]string{"j.yaml": job("a:1")}).run()
	b.action("Job/j", event.Created)
	b.write("j.yaml", job("a:2"))
	b.action("Job/j", event.Replaced)
}

func TestConflictsAreSaidAndForced(t *testing.T) {
	b := newBench(t, map[string]string{"web.yaml": strings.Replace(deployment("web", "a:1"), "spec:\n  selector", "spec:\n  replicas: 1\n  selector", 1)}).run()
	b.kubectl("patch", "deployment", "web", "-p", `{"spec":{"replicas":3}}`, "--field-manager=someone")
	b.forget()
	b.write("web.yaml", strings.Replace(deployment("web", "a:2"), "spec:\n  selector", "spec:\n  replicas: 2\n  selector", 1))
	e := b.action("Deployment/web", event.Configured)
	if !slices.ContainsFunc(e.Notes, func(note string) bool {
		return strings.HasPrefix(note, "took over spec.replicas from") && strings.Contains(note, "someone")
	}) {
		t.Errorf("notes: %q", e.Notes)
	}
}

func TestDryRunKeepsNothing(t *testing.T) {
	b := newBench(t, map[string]string{"a.yaml": config("a", "1")})
	b.change = func(c *watch.Config) { c.DryRun = true }
	b.once()
	b.action("ConfigMap/a", event.Created)
	list, err := shared.client.CoreV1().ConfigMaps(b.namespace).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	for _, item := range list.Items {
		if item.Name != "kube-root-ca.crt" {
			t.Errorf("the dry run left %s", item.Name)
		}
	}
}

func TestARenamedObjectTakesOverWhatTheOldOneHeld(t *testing.T) {
	service := func(name string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec:\n  type: NodePort\n  ports: [{port: 80, nodePort: 31987}]\n"
	}
	b := newBench(t, map[string]string{"s.yaml": service("old")}).run()
	b.action("Service/old", event.Created)
	b.write("s.yaml", service("new"))
	b.action("Service/old", event.Pruned)
	b.action("Service/new", event.Created)
}
