package apiserver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

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
