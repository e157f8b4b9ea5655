package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"k8s.io/kube-openapi/pkg/handler3"
)

const mediaProtoV3 = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"

// serveV3Index lists the documents of all group versions with their hashes.
func (s *Service) serveV3Index(w http.ResponseWriter, r *http.Request) {
	index, err := s.customV3(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for gv, path := range s.remote.Paths() {
		index.Paths[gv] = path
	}
	for gv, d := range s.builtin {
		index.Paths[gv] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: path.Join("/openapi/v3", gv) + "?hash=" + url.QueryEscape(d.hash)}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(index) // the client is gone
}

// customV3 lists the documents of custom resources.
func (s *Service) customV3(r *http.Request) (index handler3.OpenAPIV3Discovery, err error) {
	rec := &recorder{header: http.Header{}}
	plain := r.Clone(r.Context())
	plain.Header = http.Header{}
	s.crdV3.HandleDiscovery(rec, plain)
	if rec.body.Len() > 0 {
		if err := json.Unmarshal(rec.body.Bytes(), &index); err != nil {
			return index, fmt.Errorf("read the list of custom resources' documents: %w", err)
		}
	}
	if index.Paths == nil {
		index.Paths = map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}
	}
	return index, nil
}

func (s *Service) serveV3(w http.ResponseWriter, r *http.Request) {
	gv := strings.TrimPrefix(r.URL.Path, "/openapi/v3/")
	d, ok := s.builtin[gv]
	if ok {
		s.serveBuiltinV3(w, r, d)
		return
	}
	if s.remote.Serve(w, r, gv) {
		return
	}
	// Asked for what it does not have, the library answers with nothing, and status 200.
	if index, err := s.customV3(r); err == nil && index.Paths[gv] == (handler3.OpenAPIV3DiscoveryGroupVersion{}) {
		http.NotFound(w, r)
		return
	}
	s.crdV3.HandleGroupVersion(w, r)
}

func (s *Service) serveBuiltinV3(w http.ResponseWriter, r *http.Request, d document) {
	etag := `"` + d.hash + `"`
	w.Header().Set("ETag", etag)
	// As kube-openapi does: an address that carries the right hash never changes its content.
	switch r.URL.Query().Get("hash") {
	case "":
	case d.hash:
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	default:
		to := *r.URL
		to.RawQuery = url.Values{"hash": {d.hash}}.Encode()
		http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
		return
	}
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "proto-openapi") {
		sendV3Proto(w, d)
		return
	}
	sendEmbedded(w, r, "application/json", d.file)
}

// sendV3Proto converts a document. Only JSON is embedded: few clients ask for anything else.
func sendV3Proto(w http.ResponseWriter, d document) {
	b, err := readEmbedded(d.file)
	if err == nil {
		b, err = handler3.ToV3ProtoBinary(b)
	}
	if err != nil {
		http.Error(w, "convert OpenAPI document: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mediaProtoV3)
	w.Header().Set("Vary", "Accept")
	_, _ = w.Write(b) // the client is gone
}
