package openapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strings"

	"k8s.io/kube-openapi/pkg/handler3"
)

// serveV3Index lists the documents of all group versions with their hashes.
func (s *Service) serveV3Index(w http.ResponseWriter, r *http.Request) {
	var index handler3.OpenAPIV3Discovery
	crds := &recorder{header: http.Header{}}
	plain := r.Clone(r.Context())
	plain.Header = http.Header{}
	s.crdV3.HandleDiscovery(crds, plain)
	if crds.body.Len() > 0 {
		if err := json.Unmarshal(crds.body.Bytes(), &index); err != nil {
			http.Error(w, "read the list of custom resources' documents: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if index.Paths == nil {
		index.Paths = map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}
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

func (s *Service) serveV3(w http.ResponseWriter, r *http.Request) {
	gv := strings.TrimPrefix(r.URL.Path, "/openapi/v3/")
	d, ok := s.builtin[gv]
	if !ok {
		if !s.remote.Serve(w, r, gv) {
			s.crdV3.HandleGroupVersion(w, r)
		}
		return
	}
	etag := `"` + d.hash + `"`
	w.Header().Set("ETag", etag)
	// As kube-openapi does: an address that carries the right hash never changes its content.
	switch r.URL.Query().Get("hash") {
	case "":
	case d.hash:
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", r.Header.Get("Date"))
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
	sendEmbedded(w, r, "application/json", d.file)
}
