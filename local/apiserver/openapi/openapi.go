// Package openapi serves the OpenAPI documents of the API. Those of the built-in kinds are built ahead and
// embedded, because building them in the running server costs a quarter of a second and 80 MB that never
// come back; those of custom resources are merged in as they appear.
//
// The documents are written by the test of package apiserver that also checks that they are up to date:
//
//	go test ./local/apiserver -run TestOpenAPIDocuments -update
package openapi

import (
	"embed"
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// The directory holds v2.json.gz, v2.pb.gz, and v3/<group version with "_" for "/">.json.gz beside this list
// of their hashes. The names of the embedded files start with neither "." nor "_".
//
//go:embed documents
var documents embed.FS

// Paths of the documents inside of documents.
const (
	v2JSON  = "documents/v2.json.gz"
	v2Proto = "documents/v2.pb.gz"
	v3Dir   = "documents/v3"
)

// Remote has documents that other servers answer for.
type Remote interface {
	// Paths lists them by group version ("apis/metrics.k8s.io/v1beta1").
	Paths() map[string]handler3.OpenAPIV3DiscoveryGroupVersion
	// Serve answers for one of them and reports whether it knows it.
	Serve(w http.ResponseWriter, r *http.Request, gv string) bool
}

// Service serves the documents.
type Service struct {
	remote  Remote
	builtin map[string]document // v3, by group version as in its URL
	crdV2   *handler.OpenAPIService
	crdV2H  http.Handler
	crdV3   *handler3.OpenAPIService
	empty   *spec.Swagger
	merged  mergedV2
}

// document is an embedded v3 document.
type document struct{ file, hash string }

// New reads the list of embedded documents. The version is Kubernetes'; a document without one is not valid.
func New(version string, remote Remote) (*Service, error) {
	s := &Service{remote: remote, builtin: map[string]document{}, empty: emptySpec(version), crdV3: handler3.NewOpenAPIService()}
	entries, err := documents.ReadDir(v3Dir)
	if err != nil {
		return nil, fmt.Errorf("list OpenAPI documents: %w", err)
	}
	for _, e := range entries {
		// <group version>.<hash>.json.gz: the hash is in the name, so that the start does not have to read 1 MB.
		name, ok := strings.CutSuffix(e.Name(), ".json.gz")
		i := strings.LastIndexByte(name, '.')
		if !ok || i < 0 {
			continue
		}
		s.builtin[strings.ReplaceAll(name[:i], "_", "/")] = document{file: v3Dir + "/" + e.Name(), hash: name[i+1:]}
	}
	s.crdV2 = handler.NewOpenAPIService(s.empty)
	s.crdV2.RegisterOpenAPIVersionedService("/openapi/v2", captureHandler{&s.crdV2H})
	return s, nil
}

// CustomResources returns what the server of custom resources adds its documents to.
func (s *Service) CustomResources() (*spec.Swagger, *handler.OpenAPIService, *handler3.OpenAPIService) {
	return s.empty, s.crdV2, s.crdV3
}

// Install puts the documents on their usual paths.
func (s *Service) Install(m *mux.PathRecorderMux) {
	m.HandleFunc("/openapi/v2", s.serveV2)
	m.HandleFunc("/openapi/v3", s.serveV3Index)
	m.HandlePrefix("/openapi/v3/", http.HandlerFunc(s.serveV3))
}

func emptySpec(version string) *spec.Swagger {
	return &spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger:     "2.0",
		Info:        &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: version}},
		Paths:       &spec.Paths{Paths: map[string]spec.PathItem{}},
		Definitions: spec.Definitions{},
	}}
}

// captureHandler takes the handler that the library would register on a mux.
type captureHandler struct{ to *http.Handler }

func (c captureHandler) Handle(_ string, h http.Handler) { *c.to = h }
