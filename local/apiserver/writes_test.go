package apiserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestServerSideApplyKeepsOwners(t *testing.T) {
	c := sharedCluster(t)
	path := "/api/v1/namespaces/" + c.namespace(t) + "/configmaps/owned"
	apply := func(manager, data, query string) (int, string) {
		code, _, body := c.do(t, "PATCH", path+"?fieldManager="+manager+query, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owned"},"data":`+data+`}`, "Content-Type", "application/apply-patch+yaml")
		return code, body
	}
	if code, body := apply("a", `{"x":"1","y":"1"}`, ""); code != 201 {
		t.Fatal(code, body)
	}
	if code, body := apply("b", `{"x":"2"}`, ""); code != 409 || !strings.Contains(body, `conflict with \"a\": .data.x`) {
		t.Errorf("apply of another's field: %d %s", code, body)
	}
	if code, body := apply("b", `{"x":"1","z":"1"}`, ""); code != 200 {
		t.Errorf("apply of the same value: %d %s", code, body)
	}
	if code, body := apply("b", `{"x":"2","z":"1"}`, "&force=true"); code != 200 {
		t.Errorf("forced apply: %d %s", code, body)
	}
	// a gives up y by not applying it, and x has been taken from it.
	if code, body := apply("a", `{}`, ""); code != 200 {
		t.Errorf("apply of less: %d %s", code, body)
	}
	_, _, body := c.do(t, "GET", path, "")
	var cm corev1.ConfigMap
	if err := json.Unmarshal([]byte(body), &cm); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(cm.Data) != "map[x:2 z:1]" {
		t.Errorf("data is %v", cm.Data)
	}
}

func TestFieldValidation(t *testing.T) {
	c := sharedCluster(t)
	path := "/api/v1/namespaces/" + c.namespace(t) + "/configmaps?dryRun=All&fieldValidation="
	const manifest = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"datum":{},"data":{"a":"b","a":"c"}}`
	if code, _, body := c.do(t, "POST", path+"Strict", manifest); code != 400 || !strings.Contains(body, `unknown field \"datum\"`) || !strings.Contains(body, `duplicate field \"data.a\"`) {
		t.Errorf("Strict: %d %s", code, body)
	}
	code, header, _ := c.do(t, "POST", path+"Warn", manifest)
	if w := strings.Join(header.Values("Warning"), "\n"); code != 201 || !strings.Contains(w, `unknown field \"datum\"`) || !strings.Contains(w, `duplicate field \"data.a\"`) {
		t.Errorf("Warn: %d %s", code, w)
	}
	if code, header, _ := c.do(t, "POST", path+"Ignore", manifest); code != 201 || len(header.Values("Warning")) > 0 {
		t.Errorf("Ignore: %d %v", code, header.Values("Warning"))
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	cms := c.client.CoreV1().ConfigMaps(c.namespace(t))
	dry := []string{metav1.DryRunAll}
	if _, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{DryRun: dry}); err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Get(ctx, "x", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("after a dry create: %v", err)
	}
	before, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changed := before.DeepCopy()
	changed.Data = map[string]string{"a": "b"}
	for what, f := range map[string]func() error{
		"update": func() error { _, err := cms.Update(ctx, changed, metav1.UpdateOptions{DryRun: dry}); return err },
		"patch": func() error {
			_, err := cms.Patch(ctx, "x", types.MergePatchType, []byte(`{"data":{"a":"b"}}`), metav1.PatchOptions{DryRun: dry})
			return err
		},
		"apply": func() error {
			_, err := cms.Patch(ctx, "x", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"b"}}`), metav1.PatchOptions{DryRun: dry, FieldManager: "m"})
			return err
		},
		"delete": func() error { return cms.Delete(ctx, "x", metav1.DeleteOptions{DryRun: dry}) },
		"delete collection": func() error {
			return cms.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{})
		},
	} {
		if err := f(); err != nil {
			t.Errorf("dry %s: %v", what, err)
		}
		after, err := cms.Get(ctx, "x", metav1.GetOptions{})
		if err != nil || after.ResourceVersion != before.ResourceVersion {
			t.Errorf("after a dry %s: %v, %v", what, after, err)
		}
	}
}

func TestPatchTypes(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	services := c.client.CoreV1().Services(c.namespace(t))
	_, err := services.Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "a", Port: 1}, {Name: "b", Port: 2}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		kind  types.PatchType
		patch string
		ports int
		fails string
	}{
		{types.StrategicMergePatchType, `{"spec":{"ports":[{"name":"c","port":3}]}}`, 3, ""},
		{types.StrategicMergePatchType, `{"spec":{"ports":[{"$patch":"delete","port":3}]}}`, 2, ""},
		{types.JSONPatchType, `[{"op":"test","path":"/spec/ports/0/name","value":"nope"}]`, 0, "the server rejected our request"},
		{types.JSONPatchType, `[{"op":"remove","path":"/spec/ports/1"}]`, 1, ""},
		{types.MergePatchType, `{"spec":{"ports":[{"name":"d","port":4},{"name":"e","port":5}]}}`, 2, ""},
		{types.MergePatchType, `{"spec":{"ports":[]}}`, 0, "spec.ports: Required value"},
	} {
		s, err := services.Patch(ctx, "x", p.kind, []byte(p.patch), metav1.PatchOptions{})
		switch {
		case p.fails != "":
			if err == nil || !strings.Contains(err.Error(), p.fails) {
				t.Errorf("%s %s: %v, want %q", p.kind, p.patch, err, p.fails)
			}
		case err != nil || len(s.Spec.Ports) != p.ports:
			t.Errorf("%s %s: %v, %v", p.kind, p.patch, s.Spec.Ports, err)
		}
	}
}

func TestUpdateOfAnOldVersionConflicts(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	cms := c.client.CoreV1().ConfigMaps(c.namespace(t))
	cm, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.Data = map[string]string{"a": "1"}
	if _, err := cms.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	cm.Data["a"] = "2"
	if _, err := cms.Update(ctx, cm, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("second update of the same version: %v, want a conflict", err)
	}
	if err := cms.Delete(ctx, "x", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &cm.ResourceVersion}}); !apierrors.IsConflict(err) {
		t.Errorf("delete of an old version: %v, want a conflict", err)
	}
}

func TestProtobufClientsWork(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	config := rest.CopyConfig(c.admin)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	cms := client.CoreV1().ConfigMaps(c.namespace(t))
	if _, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Data: map[string]string{"a": "b"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := cms.Get(ctx, "x", metav1.GetOptions{})
	if err != nil || got.Data["a"] != "b" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestEventsExpireAfterAnHour(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	ns := c.namespace(t)
	_, err := c.client.CoreV1().Events(ns).Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p", Namespace: ns}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.cfg.Store.Client(ctx).KV.Get(ctx, "/registry/events/"+ns+"/e")
	if err != nil || len(r.Kvs) != 1 || r.Kvs[0].Lease == 0 {
		t.Errorf("the stored event has no lease: %v, %v", r, err)
	}
}
