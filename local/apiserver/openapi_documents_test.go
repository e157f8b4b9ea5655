package apiserver

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emicklei/go-restful/v3"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	extensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/server/routes"
	utilopenapi "k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/client-go/informers"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	aggregatoropenapi "k8s.io/kube-aggregator/pkg/generated/openapi"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubeopenapi "k8s.io/kubernetes/pkg/generated/openapi"
	metricsscheme "k8s.io/metrics/pkg/client/clientset/versioned/scheme"

	"skiff.local/skiff/local/controllers/metrics"
)

var update = flag.Bool("update", false, "write the OpenAPI documents and other golden files anew")

const documentsDir = "openapi/documents"

// TestOpenAPIDocuments builds the OpenAPI documents from the routes that the server really has, as
// kube-apiserver does at every start, and compares them with those that are embedded.
func TestOpenAPIDocuments(t *testing.T) {
	// Groups that the daemon adds have documents too.
	s, err := makeServer(t.Context(), t.TempDir(), true, func(c *Config) {
		c.Groups = func(f informers.SharedInformerFactory) []*genericapiserver.APIGroupInfo {
			return []*genericapiserver.APIGroupInfo{metrics.Group(nil, f.Core().V1().Pods().Lister(), f.Core().V1().Nodes().Lister())}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.cfg.Listener.Close()
	want := buildDocuments(t, s)
	if *update {
		writeDocuments(t, want)
		return
	}
	have := map[string]bool{}
	for name, doc := range want {
		b, err := os.ReadFile(filepath.Join(documentsDir, name))
		if err != nil || !bytes.Equal(gunzip(t, b), doc) {
			t.Errorf("%s is not what the server would build (%v)", name, err)
		}
		have[name] = true
	}
	files, err := filepath.Glob(documentsDir + "/v3/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := "v3/" + filepath.Base(f); !have[name] {
			t.Errorf("%s: the server has no such group version, or another document for it", name)
		}
	}
	if t.Failed() {
		t.Log("update with: go test ./local/apiserver -run TestOpenAPIDocuments -update")
	}
}

// buildDocuments returns the content of every document by its file's name.
func buildDocuments(t *testing.T, s *Server) map[string][]byte {
	t.Helper()
	definitions := utilopenapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		all := kubeopenapi.GetOpenAPIDefinitions(ref)
		for _, more := range []common.GetOpenAPIDefinitions{extensionsopenapi.GetOpenAPIDefinitions, aggregatoropenapi.GetOpenAPIDefinitions} {
			for name, d := range more(ref) {
				if _, ok := all[name]; !ok {
					all[name] = d
				}
			}
		}
		return all
	})
	namer := openapinamer.NewDefinitionNamer(legacyscheme.Scheme, apiextensions.Scheme, aggregatorscheme.Scheme, metricsscheme.Scheme)
	v2, v3 := genericapiserver.DefaultOpenAPIConfig(definitions, namer), genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	v2.Info.Title, v2.Info.Version = "Kubernetes", KubernetesVersion()
	v3.Info.Title, v3.Info.Version = "Kubernetes", KubernetesVersion()

	all := restful.NewContainer()
	roots := map[string]bool{}
	for _, server := range s.chain() {
		for _, ws := range server.Handler.GoRestfulContainer.RegisteredWebServices() {
			if !roots[ws.RootPath()] {
				roots[ws.RootPath()] = true
				all.Add(ws)
			}
		}
	}
	m := mux.NewPathRecorderMux("documents")
	routes.OpenAPI{Config: v2}.InstallV2(all, m)
	routes.OpenAPI{V3Config: v3}.InstallV3(all, m)
	get := func(path, accept string) []byte {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("get %s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	docs := map[string][]byte{
		"v2.json.gz": get("/openapi/v2", "application/json"),
		"v2.pb.gz":   get("/openapi/v2", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"),
	}
	var index handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(get("/openapi/v3", "application/json"), &index); err != nil {
		t.Fatal(err)
	}
	for _, gv := range slices.Sorted(maps.Keys(index.Paths)) {
		doc := get("/openapi/v3/"+gv, "application/json")
		// Half of the hash is plenty to tell two versions of a document apart.
		name := fmt.Sprintf("v3/%s.%X.json.gz", strings.ReplaceAll(gv, "/", "_"), sha256.Sum256(doc))
		docs[name[:len(name)-len(".json.gz")-sha256.Size]+".json.gz"] = doc
	}
	return docs
}

func writeDocuments(t *testing.T, docs map[string][]byte) {
	t.Helper()
	old, err := filepath.Glob(documentsDir + "/v3/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	for name, doc := range docs {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(doc); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(documentsDir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("wrote %d documents", len(docs))
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
