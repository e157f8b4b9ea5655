package apiserver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
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

func TestPagesShowOneMoment(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	cms := c.client.CoreV1().ConfigMaps(c.namespace(t))
	for i := range 5 {
		if _, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("x", i), Labels: map[string]string{"even": fmt.Sprint(i%2 == 0)}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := cms.List(ctx, metav1.ListOptions{Limit: 2})
	if err != nil || len(first.Items) != 2 || first.Continue == "" || ptr.Deref(first.RemainingItemCount, 0) != 3 {
		t.Fatalf("first page: %d items, %+v, %v", len(first.Items), first.ListMeta, err)
	}
	if err := cms.Delete(ctx, "x4", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	rest, err := cms.List(ctx, metav1.ListOptions{Continue: first.Continue})
	if err != nil || len(rest.Items) != 3 || rest.ResourceVersion != first.ResourceVersion {
		t.Errorf("rest: %d items of version %s, %v; want 3 of version %s", len(rest.Items), rest.ResourceVersion, err, first.ResourceVersion)
	}
	exact, err := cms.List(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if err != nil || len(exact.Items) != 5 {
		t.Errorf("list of the past: %d items, %v", len(exact.Items), err)
	}
	_, err = cms.List(ctx, metav1.ListOptions{ResourceVersion: "99999999", ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if err == nil {
		t.Error("list of the future succeeded")
	}
	if _, err := cms.List(ctx, metav1.ListOptions{Continue: "nonsense"}); !apierrors.IsBadRequest(err) {
		t.Errorf("list with a bad token: %v", err)
	}
	even, err := cms.List(ctx, metav1.ListOptions{LabelSelector: "even=true", FieldSelector: "metadata.name!=x0"})
	if err != nil || len(even.Items) != 1 || even.Items[0].Name != "x2" {
		t.Errorf("selected: %v, %v", even.Items, err)
	}
}

func TestWatchFromThePastSeesEveryChangeOnce(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	cms := c.client.CoreV1().ConfigMaps(c.namespace(t))
	list, err := cms.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.Data = map[string]string{"a": "b"}
	if _, err := cms.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := cms.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if err := cms.Delete(ctx, "x", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
		select {
		case e := <-w.ResultChan():
			if e.Type != want {
				t.Fatalf("event %s, want %s: %v", e.Type, want, e.Object)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no event %s", want)
		}
	}
}

func TestWatchListEndsTheInitialEventsWithABookmark(t *testing.T) {
	c, ctx := sharedCluster(t), t.Context()
	cms := c.client.CoreV1().ConfigMaps(c.namespace(t))
	for _, name := range []string{"a", "b"} {
		if _, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w, err := cms.Watch(ctx, metav1.ListOptions{SendInitialEvents: ptr.To(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var seen []string
	for e := range w.ResultChan() {
		cm := e.Object.(*corev1.ConfigMap)
		seen = append(seen, string(e.Type)+" "+cm.Name)
		if e.Type == watch.Bookmark {
			if cm.Annotations[metav1.InitialEventsAnnotationKey] != "true" || cm.ResourceVersion == "" {
				t.Errorf("bookmark %+v", cm.ObjectMeta)
			}
			break
		}
	}
	if fmt.Sprint(seen) != "[ADDED a ADDED b BOOKMARK ]" {
		t.Errorf("saw %q", seen)
	}
}

func TestRepresentations(t *testing.T) {
	c := sharedCluster(t)
	const path = "/api/v1/namespaces"
	const table, partial = "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	for accept, want := range map[string]string{
		table:                                 `"kind":"Table"`,
		partial:                               `"kind":"PartialObjectMetadataList"`,
		"application/yaml":                    "kind: NamespaceList",
		"application/vnd.kubernetes.protobuf": "k8s\x00",
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io": "k8s\x00",
	} {
		code, header, body := c.do(t, "GET", path, "", "Accept", accept)
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s %.80q", accept, code, header.Get("Content-Type"), body)
		}
	}
	var list struct {
		ColumnDefinitions []struct{ Name string }
		Rows              []struct{ Cells []any }
	}
	_, _, body := c.do(t, "GET", path+"/default", "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Rows) != 1 || list.Rows[0].Cells[0] != "default" || list.ColumnDefinitions[1].Name != "Status" {
		t.Errorf("table: %+v", list)
	}
	if code, _, body := c.do(t, "GET", path, "", "Accept", "application/pdf"); code != http.StatusNotAcceptable {
		t.Errorf("as PDF: %d %s", code, body)
	}
	if code, _, body := c.do(t, "POST", path, "<x/>", "Content-Type", "application/xml"); code != http.StatusUnsupportedMediaType {
		t.Errorf("as XML: %d %s", code, body)
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

func TestLongWatchesStream(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	r, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/api/v1/namespaces/"+ns+"/configmaps?watch=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "streamed"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, "streamed") {
		t.Errorf("first line: %q, %v", line, err)
	}
}

func TestDiscovery(t *testing.T) {
	c := sharedCluster(t)
	_, lists, err := c.client.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			have[l.GroupVersion+" "+r.Name] = true
			if l.GroupVersion == "extensions/v1beta1" && (len(r.ShortNames) > 0 || len(r.Categories) > 0) {
				t.Errorf("%s of extensions is listed as %v, %v: kubectl would find two", r.Name, r.ShortNames, r.Categories)
			}
			if l.GroupVersion == "extensions/v1beta1" && slices.Contains(r.Verbs, "watch") {
				t.Errorf("%s of extensions is listed as watchable: controllers would follow every object twice", r.Name)
			}
		}
	}
	for _, want := range []string{
		"v1 pods/exec", "v1 pods/attach", "v1 pods/portforward", "v1 pods/log", "v1 pods/proxy", "v1 pods/eviction", "v1 pods/binding", "v1 pods/ephemeralcontainers", "v1 pods/resize",
		"v1 services/proxy", "v1 nodes/proxy", "v1 serviceaccounts/token", "v1 replicationcontrollers/scale", "v1 namespaces/finalize", "v1 componentstatuses",
		"apps/v1 deployments/scale", "apps/v1beta1 deployments/scale", "apps/v1beta2 daemonsets/status", "extensions/v1beta1 ingresses", "extensions/v1beta1 replicasets/scale",
		"batch/v1beta1 cronjobs/status", "networking.k8s.io/v1beta1 ingresses", "policy/v1beta1 poddisruptionbudgets", "autoscaling/v1 horizontalpodautoscalers", "autoscaling/v2 horizontalpodautoscalers/status",
		"certificates.k8s.io/v1 certificatesigningrequests/approval", "apiextensions.k8s.io/v1 customresourcedefinitions", "apiregistration.k8s.io/v1 apiservices",
		"authentication.k8s.io/v1 selfsubjectreviews", "authorization.k8s.io/v1 selfsubjectrulesreviews", "networking.k8s.io/v1 servicecidrs", "resource.k8s.io/v1 resourceclaims",
		"admissionregistration.k8s.io/v1 mutatingadmissionpolicies", "storage.k8s.io/v1 volumeattributesclasses", "flowcontrol.apiserver.k8s.io/v1 flowschemas",
	} {
		if !have[want] {
			t.Errorf("discovery lacks %s", want)
		}
	}
	// Clients without aggregated discovery ask for one document after the other.
	_, _, groups := c.do(t, "GET", "/apis", "", "Accept", "application/json")
	for _, want := range []string{`"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"},{"groupVersion":"apps/v1beta2"`, `"name":"extensions"`, `"preferredVersion":{"groupVersion":"autoscaling/v2"`} {
		if !strings.Contains(groups, want) {
			t.Errorf("/apis lacks %s:\n%s", want, groups)
		}
	}
}

// TestOldAndNewVersionsAreOneObject: what was created under an old version is served under all.
func TestOldAndNewVersionsAreOneObject(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	const manifest = `{"apiVersion":"apps/v1beta1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	if code, header, body := c.do(t, "POST", "/apis/apps/v1beta1/namespaces/"+ns+"/deployments", manifest); code != 201 || !strings.Contains(header.Get("Warning"), "apps/v1beta1 Deployment is deprecated") {
		t.Fatal(code, header.Get("Warning"), body)
	}
	for _, gv := range []string{"apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"} {
		code, _, body := c.do(t, "GET", "/apis/"+gv+"/namespaces/"+ns+"/deployments/web", "")
		var u unstructured.Unstructured
		if err := json.Unmarshal([]byte(body), &u.Object); err != nil || code != 200 || u.GetAPIVersion() != gv {
			t.Errorf("as %s: %d %s", gv, code, body)
			continue
		}
		selector, _, _ := unstructured.NestedString(u.Object, "spec", "selector", "matchLabels", "app")
		if selector != "web" {
			t.Errorf("as %s: selector %q", gv, selector)
		}
		code, _, body = c.do(t, "PATCH", "/apis/"+gv+"/namespaces/"+ns+"/deployments/web/scale", `{"spec":{"replicas":3}}`, "Content-Type", "application/merge-patch+json")
		if code != 200 || !strings.Contains(body, `"replicas":3`) {
			t.Errorf("scale as %s: %d %s", gv, code, body)
		}
	}
}
