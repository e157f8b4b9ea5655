package openapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

type fakeRemote map[string]string

func (f fakeRemote) Paths() map[string]handler3.OpenAPIV3DiscoveryGroupVersion {
	paths := map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}
	for gv := range f {
		paths[gv] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: "/openapi/v3/" + gv}
	}
	return paths
}

func (f fakeRemote) Serve(w http.ResponseWriter, _ *http.Request, gv string) bool {
	doc, ok := f[gv]
	if ok {
		_, _ = io.WriteString(w, doc)
	}
	return ok
}

func serve(t *testing.T, remote Remote) (*Service, *httptest.Server) {
	t.Helper()
	s, err := New("v1.2.3", remote)
	if err != nil {
		t.Fatal(err)
	}
	m := mux.NewPathRecorderMux("test")
	s.Install(m)
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	return s, server
}

func get(t *testing.T, url string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r) // which follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// widgets is what the server of custom resources adds for one kind.
func widgets(s *Service) {
	swagger, v2, v3 := s.CustomResources()
	with := *swagger
	with.Paths = &spec.Paths{Paths: map[string]spec.PathItem{"/apis/example.com/v1/widgets": {}}}
	with.Definitions = spec.Definitions{"com.example.v1.Widget": spec.Schema{}, "io.k8s.api.core.v1.Pod": spec.Schema{SchemaProps: spec.SchemaProps{Description: "not this one"}}}
	_ = v2.UpdateSpec(&with)
	v3.UpdateGroupVersion("apis/example.com/v1", &spec3.OpenAPI{Version: "3.0.0", Info: &spec.Info{InfoProps: spec.InfoProps{Title: "Widgets"}}})
}

func TestV3IndexListsAllSources(t *testing.T) {
	s, server := serve(t, fakeRemote{"apis/remote.example.com/v1": `{"remote":true}`, "apis/apps/v1": `{"stolen":true}`})
	widgets(s)
	_, b := get(t, server.URL+"/openapi/v3")
	var index handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	for gv, want := range map[string]string{"apis/apps/v1": `"title":"Kubernetes"`, "apis/example.com/v1": `"title":"Widgets"`, "apis/remote.example.com/v1": `{"remote":true}`} {
		p, ok := index.Paths[gv]
		if !ok {
			t.Errorf("the index lacks %s", gv)
			continue
		}
		if resp, b := get(t, server.URL+p.ServerRelativeURL); resp.StatusCode != 200 || !strings.Contains(string(b), want) {
			t.Errorf("%s at %s: %d %.100s", gv, p.ServerRelativeURL, resp.StatusCode, b)
		}
	}
	if resp, _ := get(t, server.URL+"/openapi/v3/apis/nobody/v1"); resp.StatusCode != 404 {
		t.Errorf("a group version that nobody knows: %d", resp.StatusCode)
	}
}

func TestV3DocumentsAreCachedByTheirHash(t *testing.T) {
	_, server := serve(t, fakeRemote{})
	resp, _ := get(t, server.URL+"/openapi/v3/apis/apps/v1")
	etag := resp.Header.Get("ETag")
	if resp, b := get(t, server.URL+"/openapi/v3/apis/apps/v1", "If-None-Match", etag); resp.StatusCode != 304 || len(b) > 0 {
		t.Errorf("the same again: %d, %d bytes", resp.StatusCode, len(b))
	}
	resp, _ = get(t, server.URL+"/openapi/v3/apis/apps/v1?hash=OLD")
	if to := resp.Header.Get("Location"); resp.StatusCode != 301 || to != "/openapi/v3/apis/apps/v1?hash="+strings.Trim(etag, `"`) {
		t.Errorf("with an old hash: %d to %q", resp.StatusCode, to)
	}
	if resp, b := get(t, server.URL+"/openapi/v3/apis/apps/v1", "Accept-Encoding", "identity"); resp.Header.Get("Content-Encoding") != "" || !json.Valid(b) {
		t.Errorf("uncompressed: %s, %.100s", resp.Header.Get("Content-Encoding"), b)
	}
}

func TestV3DocumentsComeAsProtobufToo(t *testing.T) {
	_, server := serve(t, fakeRemote{})
	resp, b := get(t, server.URL+"/openapi/v3/apis/apps/v1", "Accept", mediaProtoV3)
	var doc openapi_v3.Document
	if err := proto.Unmarshal(b, &doc); err != nil || resp.Header.Get("Content-Type") != mediaProtoV3 || doc.Info.Title != "Kubernetes" {
		t.Errorf("%s: %v", resp.Header.Get("Content-Type"), err)
	}
}

func TestV2HasBuiltInAndCustomKinds(t *testing.T) {
	s, server := serve(t, fakeRemote{})
	_, before := get(t, server.URL+"/openapi/v2")
	widgets(s)
	for range 2 { // merged, and from the cache
		_, b := get(t, server.URL+"/openapi/v2")
		var doc struct {
			Info        struct{ Version string }
			Paths       map[string]any
			Definitions map[string]struct{ Description string }
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Paths["/apis/example.com/v1/widgets"] == nil || doc.Paths["/apis/apps/v1/"] == nil {
			t.Error("paths are missing")
		}
		if _, ok := doc.Definitions["com.example.v1.Widget"]; !ok || !strings.Contains(doc.Definitions["io.k8s.api.core.v1.Pod"].Description, "Pod is a collection of containers") {
			t.Error("definitions are missing or overwritten")
		}
	}
	_, b := get(t, server.URL+"/openapi/v2", "Accept", mediaProto)
	var doc openapi_v2.Document
	if err := proto.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range doc.Definitions.AdditionalProperties {
		names = append(names, d.Name)
	}
	if all := strings.Join(names, " "); !strings.Contains(all, "com.example.v1.Widget") || !strings.Contains(all, "io.k8s.api.apps.v1.Deployment") {
		t.Errorf("protobuf: %d definitions, some are missing", len(names))
	}
	swagger, v2, _ := s.CustomResources()
	_ = v2.UpdateSpec(swagger)
	if _, after := get(t, server.URL+"/openapi/v2"); string(after) != string(before) {
		t.Error("a kind that is gone left something behind")
	}
}
